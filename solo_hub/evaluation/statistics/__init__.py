"""Intervals, tests, power, calibration and pooling."""
