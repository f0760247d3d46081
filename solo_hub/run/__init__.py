"""A run: its folder, rows, references, resolution and context; what all steps stand on."""
