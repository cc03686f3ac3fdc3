"""Data, metrics and embeddings -> one HTML page."""
