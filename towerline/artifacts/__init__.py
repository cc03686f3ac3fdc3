"""Files that pass between the stages: a module for each stage that writes them, with paths, types and readers."""
