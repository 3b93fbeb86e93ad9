"""Texts of many lengths and scripts, none longer than the real model takes."""

SENTENCES = [
    "A short text.",
    "The quick brown fox jumps over the lazy dog, and then it does so again.",
    "",
    "   ",
    "Ein Satz auf Deutsch mit Umlauten: äöüß.",
    "注意力机制让每个词看到所有其他词。",
    "مرحبا بالعالم",
    "emoji 👩‍👩‍👧 and e\u0301 combining",
    "word " * 90,
    "[CLS] literal specials [SEP]",
    "a",
    "What is attention? " * 12,
]
