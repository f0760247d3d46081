"""The metric `option_accuracy`."""
