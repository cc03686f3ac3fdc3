"""Raw files -> checked interactions and items."""
