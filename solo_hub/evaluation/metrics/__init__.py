"""Metrics as `evaluate` modules: loaded by class, or by `evaluate.load(folder)`, with no network."""
