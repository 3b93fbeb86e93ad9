"""vitrail beside its rivals, on the same texts, in the same run. `python -m benchmarks` measures and writes the
tables.
"""
