"""Interactions by user, scorers and exact top-k: arrays in, arrays out."""
