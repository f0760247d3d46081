"""What the embedded Hub is filled with: packaged models and the invented world."""
