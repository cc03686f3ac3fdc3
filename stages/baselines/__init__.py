"""Training and validation set -> the fitted baselines."""
