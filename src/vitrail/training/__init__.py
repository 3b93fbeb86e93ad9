"""Training: one loop, its data, and what stands beside the result. `vitrail.train` begins in `run.py`."""
