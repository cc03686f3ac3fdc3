"""Approximate inner product search by several libraries."""
