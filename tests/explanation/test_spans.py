"""Every span is the right characters, in every script, and no character is cut in two."""

import numpy as np
import pytest
import regex

import vitrail
from vitrail.explanation.spans import spans_of, tokens_apart, whole_characters
from vitrail.tracing import Reading

TEXTS = {
    "English": "A cat's unbelievable milk-drinking.",
    "Chinese": "好猫喝牛奶，真的。",
    "Arabic with vowels": "القِطَّةُ تَشْرَبُ الحليب",
    "Hindi": "बिल्ली दूध पीती है",
    "Korean, letter by letter": "한글 가",
    "emoji with joiners": "a 👩‍👩‍👧 family 👍🏽 and a flag 🇩🇪🇫🇷 or 🏴‍☠️ ❤️.",
    "unknown": "what is ⸘꙰𖦹 here",
    "accents apart": "Ka\u0308tzchen cafe\u0301",
    "blanks": "  two  \n lines\t",
    "none": "",
}


def made_up(text: str, offsets: list[tuple[int, int]]) -> Reading:
    """A reading whose tokens lie at these characters."""
    bare = Reading.of_ids(list(range(len(offsets))))
    places = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    return Reading(**vars(bare) | {"texts": (text,), "sources": np.zeros(len(offsets), np.int64), "offsets": places})


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_spans_of_a_text_are_the_text_and_hold_the_characters_of_their_tokens(text: str, minilm: vitrail.Encoder):
    reading = minilm.trace(text).reading
    values = np.arange(1, len(reading) + 1, dtype=np.float32)

    (spans,) = spans_of(reading, values)

    assert "".join(span.text for span in spans) == text
    assert [span.start for span in spans[1:]] == [span.end for span in spans[:-1]]
    where = {token: span for span in spans for token in span.tokens}
    for token in range(len(reading)):
        if token in tokens_apart(reading):
            assert token not in where
            continue
        start, end = reading.offsets[token].tolist()
        span = where[token]
        assert span.start <= start <= end <= span.end
        assert text[start:end] in span.text
    assert sum(span.value for span in spans) + values[tokens_apart(reading)].sum() == pytest.approx(values.sum())


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_character_that_a_reader_sees_is_cut_wherever_tokens_end(text: str):
    letters = made_up(text, [(place, place + 1) for place in range(len(text))])  # as a byte-level tokenizer might

    (spans,) = spans_of(letters, np.ones(len(text), dtype=np.float32))

    seen = {match.start() for match in regex.finditer(r"\X", text)}
    assert {span.start for span in spans} <= seen


def test_tokens_of_one_emoji_are_one_span_with_their_sum():
    family = "👩‍👩‍👧"
    reading = made_up(f"a {family}!", [(0, 1), (2, 3), (2, 3), (4, 5), (6, 7), (7, 8)])

    (spans,) = spans_of(reading, np.array([1, 2, 4, 8, 16, 32], dtype=np.float32))

    assert [(span.text, span.value) for span in spans] == [("a", 1), (" ", 0), (family, 30), ("!", 32)]


def test_windows_over_a_text_add_up():
    reading = made_up("one two", [(0, 3), (4, 7), (4, 7)])

    (spans,) = spans_of(reading, np.array([1, 2, 4], dtype=np.float32))

    assert [(span.text, span.tokens, span.value) for span in spans if span.tokens] == [
        ("one", (0,), 1),
        ("two", (1, 2), 6),
    ]


def test_flags_beside_each_other_stay_apart():
    assert whole_characters("🇩🇪🇫🇷", 0, 1) == (0, 2)
    assert whole_characters("🇩🇪🇫🇷", 3, 4) == (2, 4)
