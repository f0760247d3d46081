"""The student: the same base model with an adapter that learns to answer without the passages."""
