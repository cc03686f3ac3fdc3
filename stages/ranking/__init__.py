"""Exact ranking and its quality: arrays in, arrays out; no files, no TensorFlow."""
