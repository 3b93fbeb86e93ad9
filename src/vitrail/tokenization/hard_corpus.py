"""Texts on which tokenizers disagree, made rather than stored: a few hundred strings, the same on every machine.

The idea: a fast engine is trusted for a tokenizer only after it gave the reference's ids on all of these. A sweep over
the planes of Unicode meets every script and category; the rest are the traps: words at the length limit, white space
of every kind, combining marks in both normal forms, literal special tokens, controls.
"""

import unicodedata
from collections.abc import Iterable, Iterator

_ACCENTED = "e\u0301"

_SENTENCES = (
    "",
    " ",
    "\t\r\n \u00a0\u3000",
    "The quick brown fox jumps over the lazy dog.",
    "don't won't I'm we'll THEY'VE rock'n'roll 'tis O'Neill's",
    "https://example.org/a_b-c?d=e%20f&g=[h]#i user.name+tag@mail.example 127.0.0.1",
    "3.14159 1,234,567.89 −5 ½ ² ⅷ ١٢٣ १२३ 0x1F 1e-9 $5 €7 50% #1",
    "def f(x: int) -> str:\n\treturn f'{x!r}' if x >= 0 else \"-\" + '\\\\'\n",
    "Ünïcödé naïve café résumé Ångström Łódź Straße ﬁne ﬂuﬀy Æsop œuvre İstanbul ıspanak ǅ ŉ",
    "ΑΘΗΝΑΣ Αθήνας ὈΔΥΣΣΕΎΣ Ωμέγα ς Σ",
    "Съешь ещё этих мягких французских булок, да выпей чаю. ЁЖИК ѣ",
    "مرحبا بالعالم، كَيْفَ حَالُكَ؟ لا ﷺ ﻻ",
    "שָׁלוֹם עולם ־ ״",
    "नमस्ते दुनिया क्षत्रिय ज्ञान हिन्दी বাংলা தமிழ் తెలుగు ไทยไม่มีวรรค မြန်မာ ភាសាខ្មែរ",
    "我来到北京清华大学。今天天气很好，我们去公园吧！「引號」〇",
    "東京都に行きました。カタカナ ﾊﾝｶｸ がぎぐ か\u3099き\u3099 ㍿ ㌔",
    "안녕하세요 세계 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "mixed中文and英文words在一起 with日本語とEnglish 한글abc",
    "👩‍👩‍👧‍👦 👍🏽 🇫🇷🇩🇪 ☺️ ❤️‍🔥 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "𝕳𝖊𝖑𝖑𝖔 𝟙𝟚𝟛 𠀀𠀁𪚥 𒀀𒁀 𐍈 🀄",
    "e\u0301 o\u0308\u0304 a\u0316\u0301 \u0301alone Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f a\u200d\u0301b",
    "\x00\x01\x07\x08\x0b\x0c\x1b\x1c\x1f\x7f\x80\x85\x9f nul\x00in bell\x07side",
    "soft\u00adhyphen zero\u200bwidth word\u2060joiner \ufeffbom \u202eoverride\u202c \u2028line\u2029para",
    "\ufffd \ue000 \uffff \U000e0001 \U0010ffff",
    "!!!???...---___***((([[[{{{<<<>>>}}}]]])))```''~~^^||\\\\//",
    "“quoted” ‘single’ «guillemets» – — … · • † ‡ § ¶ ¿ ¡ ‽ ⸘",
    "un##affable ##ing # ## [UNK ] [ CLS ] [cls] [MASKED] <s > </ s>",
)


def hard_corpus(special_tokens: Iterable[str]) -> list[str]:
    """The strings, with this tokenizer's own special tokens written out in them."""
    texts = [*_SENTENCES, *_sweep(), *_long_words()]
    texts += [unicodedata.normalize(form, text) for text in _SENTENCES for form in ("NFC", "NFD", "NFKD")]
    texts += [case for text in _SENTENCES for case in (text.upper(), text.title(), text.replace(" ", ""))]
    for token in special_tokens:
        texts += [token, f"a{token}b", f" {token} {token}\n", f"é {token.lower()} {token.upper()}中{token}!"]
    texts.append(" ".join(texts))
    return texts


def _sweep() -> Iterator[str]:
    """Twelve neighbouring characters at every 499th place of the planes in use, inside a word and between words."""
    for start in range(1, 0x30000, 499):
        characters = [chr(code) for code in range(start, start + 12) if not 0xD800 <= code < 0xE000]
        yield f"a{''.join(characters)}z {' '.join(characters)}"


def _long_words() -> Iterator[str]:
    for length in (99, 100, 101, 199, 200, 201, 700):
        yield f"so {'x' * length} it {'é' * length} is {_ACCENTED * length} {'中' * length} {'ab.' * length}"
