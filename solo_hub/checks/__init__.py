"""What is checked around a run: before it (preflight), after it (verification), and again (reproduction)."""
