"""Interactions and items -> numbered users and items."""
