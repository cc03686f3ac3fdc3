"""What passes between the stages: one module for each stage that writes it, with paths, types and readers."""
