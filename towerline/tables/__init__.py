"""Tables as Ibis expressions on DuckDB."""
