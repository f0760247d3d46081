"""The arms of an evaluation: who answers, with which weights, at what cost."""
