"""The stages of the pipeline, one folder each, in the order of dvc.yaml; none imports another."""

from towerline.pipeline.environment import fix_for_stage

# Before the first import of a numeric library.
fix_for_stage()
