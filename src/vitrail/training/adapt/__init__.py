"""An encoder made familiar with a domain, and what that is worth.

    text -> words that shatter -> vocabulary -> masked-language-model training -> comparison -> kept, or not

Words first (`examination.py`, `vocabulary.py`), then the encoder that has them (`extension.py`), then `assembly.py`.
"""
