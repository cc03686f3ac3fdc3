"""Model, baselines and test set -> metrics."""
