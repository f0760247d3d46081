"""Metrics as `evaluate` modules: loaded by class, or by `evaluate.load(folder)`, with no network.

Each file states its own inputs, alike as they are: pushed as a Space, most of them stand alone, without this package.
"""
