"""vitrail beside its rivals on one GPU: `python -m benchmarks gpu`.

It needs the repository and what a plain CUDA image has: torch, transformers, sentence-transformers, numpy, safetensors,
tokenizers. Weights are drawn, and the vocabulary is made from Python's docstrings: speed depends on shapes alone.
"""
