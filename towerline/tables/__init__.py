"""Tables as Ibis expressions, computed by DuckDB or Spark."""
