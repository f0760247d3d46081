"""What the student is trained towards: one file an objective, found by name in the group `solo_hub.objectives`."""
