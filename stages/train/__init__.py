"""Training and validation set -> the two-tower model."""
