"""Training of the two towers: recipes, their search on a validation set, and fits by a recipe."""
