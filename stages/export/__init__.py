"""Model and vocabularies -> what an application uses."""
