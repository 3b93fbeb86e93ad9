"""Text to ids and back to character offsets.

A tokenizer here gives a packed batch (`TokenBatch`): every sequence one after the other, and their boundaries.
Read `tokenizer.py` first; `bounds.py` keeps hostile texts cheap, `windows.py` covers long ones, `fast.py`
decides which engine may run.
"""

from vitrail.tokenization.batch import TokenBatch, TokenizedText
from vitrail.tokenization.tokenizer import Tokenizer
from vitrail.tokenization.windows import MAX_WINDOWS, merge_windows, window_spans

__all__ = ["MAX_WINDOWS", "TokenBatch", "TokenizedText", "Tokenizer", "merge_windows", "window_spans"]
