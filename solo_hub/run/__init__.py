"""A run: its folder, rows, references, resolution and context, used by all steps."""
