"""Tasks: how the rows of one dataset become questions. A dataset is one short file."""
