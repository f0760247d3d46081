"""The teacher: the base model with passages in its prompt."""
