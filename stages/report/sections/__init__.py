"""The sections of the page: a module for each, named after its anchor."""
