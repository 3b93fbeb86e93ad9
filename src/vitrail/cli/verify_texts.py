"""What `vitrail verify` reads where it is given no texts: short, long and hard ones in several scripts.

The long ones are made of the short ones, so that every short text has neighbours many times its length.
"""

SHORT = (
    "",
    "a",
    "7",
    "?",
    "Yes.",
    "Hello, world!",
    "a text",
    "another text",
    "The quick brown fox jumps over the lazy dog.",
    "Light passes through coloured glass, and every pane can be seen.",
    "don't, won't, they're, rock'n'roll, O'Neill's",
    "https://example.org/a_b-c?d=e%20f&g=[h]#i and user.name+tag@mail.example",
    "3.14159 and 1,234,567.89 or −5, ½, ², 0x1F, 1e-9, €7, 50%",
    'def f(x: int) -> str: return f"{x!r}" if x >= 0 else "-"',
    "SELECT name, COUNT(*) FROM people WHERE age >= 18 GROUP BY name;",
    "Die Straße in Łódź war naïf; le café, l'œuvre, İstanbul, Ångström.",
    "Αθήνα, ὈΔΥΣΣΕΎΣ",
    "Съешь ещё этих мягких французских булок, да выпей чаю.",
    "مرحبا بالعالم، كَيْفَ حَالُكَ؟",
    "שָׁלוֹם עולם",
    "नमस्ते दुनिया",
    "வணக்கம் உலகம்",
    "สวัสดีชาวโลก",
    "我来到北京清华大学。今天天气很好,我们去公园吧!",
    "東京都に行きました。カタカナ ﾊﾝｶｸ",
    "안녕하세요 세계",
    "Xin chào thế giới, đây là tiếng Việt",
    "👩‍👩‍👧‍👦 👍🏽 🇫🇷 ❤️‍🔥 1️⃣",
    "𝕳𝖊𝖑𝖑𝖔 𝟙𝟚𝟛 𠀀𠀁 𐍈",
    "e\u0301 o\u0308\u0304 and é ȫ: composed or not",
    "soft\u00adhyphen, zero\u200bwidth, right\u202eto left\u202c",
    "[CLS] [SEP] [MASK] [PAD] <s> </s> <mask> <pad>",
    "##affable ##ing # ##",
    "!!! ??? ... --- *** ((( [[[ {{{ <<< >>> }}} ]]] )))",
    "x" * 300,
    "no no no no no no no no no no no no no no no no no no no no",
    "To be, or not to be, that is the question.",
    "What is the longest river in the world, and where does it end?",
)
LONG = tuple(" ".join((SHORT[first:] + SHORT[:first]) * times) for first, times in ((5, 1), (11, 1), (17, 2), (30, 2)))
TEXTS = SHORT + LONG
