"""Content of the embedded Hub: packaged models and the invented world."""
