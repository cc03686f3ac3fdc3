"""Ranking and rating metrics: arrays in, arrays out."""
