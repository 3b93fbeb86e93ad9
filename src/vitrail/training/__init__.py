"""Training: data that was checked, one loop, and what comes out of it. `vitrail.train` begins in `assembly.py`."""
