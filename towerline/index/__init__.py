"""Approximate search for the largest inner products."""
