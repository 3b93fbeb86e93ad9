"""Rows in (plain text, CSV, TSV, JSON lines, Parquet, standard input), and vectors out (Parquet, JSON lines, .npy)."""
