"""The report of a run: figures, plots, page and terminal."""
