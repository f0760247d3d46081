"""A run done elsewhere: `backends` begin, watch and end jobs, `worker` is what one does."""
