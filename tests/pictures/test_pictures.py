"""Pictures are files; what they cannot write is said, and nothing that tells two labels apart is cut."""

import numpy as np
import pytest

from vitrail.pictures import canvas
from vitrail.pictures.confusion import draw_confusion


def test_labels_that_begin_alike_still_differ_when_they_are_cut():
    labels = [f"why_was_my_card_payment_declined_at_the_{place}" for place in ("shop", "bank")]

    shown, said = canvas.readable(labels)

    assert said is None
    assert len(set(shown)) == 2
    assert max(map(len, shown)) <= canvas.LONGEST_LABEL


@pytest.mark.parametrize(("font", "shown"), [(None, ["1", "2"]), ("Noto Sans CJK SC", ["好评", "bad"])])
def test_characters_are_drawn_where_a_font_has_them_and_numbered_where_none_has(monkeypatch, font, shown):
    monkeypatch.setattr(canvas, "wide_font", lambda: font)

    labels, said = canvas.readable(["好评", "bad"])

    assert labels == shown
    assert (said is None) == (font is not None)


def test_a_dollar_sign_is_no_formula_and_an_empty_label_is_drawn(tmp_path):
    counts = np.array([[3, 1], [0, 2]])

    path, said = draw_confusion(tmp_path / "a.png", counts, ["$x^", ""], totals=np.array([9, 2]))

    assert said is None
    assert path.stat().st_size > 1000
