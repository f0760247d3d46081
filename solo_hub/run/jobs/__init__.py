"""Runs as jobs: `backends` start, watch and cancel jobs, `worker` runs inside one."""
