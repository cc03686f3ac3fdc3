"""Interactions -> training, validation and test set."""
