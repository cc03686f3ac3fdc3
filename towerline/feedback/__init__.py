"""Dislikes, and strengths of rows: how much each row counts in a fit."""
