"""Training: data that was checked, one loop, and a report of what came out."""
