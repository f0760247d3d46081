"""Training objectives: one file each, found by name in the entry-point group `solo_hub.objectives`."""
