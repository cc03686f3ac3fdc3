"""The sections of the page, one module each, named by its anchor."""
