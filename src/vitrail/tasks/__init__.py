"""What an encoder is used for: one file per task with its head, its loss, its results and its metrics."""
