"""Files of any size through a model, resumable."""
