"""Everything that was measured -> one HTML page."""
