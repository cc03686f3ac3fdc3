"""The baselines that the model is compared with, and the choice of their settings on a validation set."""
