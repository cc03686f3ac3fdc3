"""Settings, file formats, errors, terminal output and environment of every stage."""
