"""The strongest places of a corpus against a search through all of them."""

import numpy as np
import pytest
import torch

from vitrail.errors import TruncationWarning
from vitrail.explanation.layers.excitement import SAMPLE, most_exciting

TEXTS = [f"Text number {n} of the sea, 北京 and 👩‍👩‍👧 café {n * n}" for n in range(40)]


def values(encoder, point, measure):
    """(value, row, characters) of every token that is not special."""
    found = []
    for row, trace in enumerate(encoder.trace(TEXTS)):
        numbers, reading = measure(trace[point]), trace.reading
        kept = np.flatnonzero(~reading.special)
        found += [(float(numbers[token]), row, *reading.offsets[token].tolist()) for token in kept]
    return sorted(found, key=lambda each: -each[0])


PARTS = {
    "unit": ({"unit": (1, 3)}, "layers.1.feed_forward.activation", lambda value: value[:, 3]),
    "head": ({"head": (0, 2)}, "layers.0.attention.context", lambda value: value[:, 8:12].norm(dim=-1)),
    "direction": (
        {"direction": ("layers.1.output", torch.arange(12.0))},
        "layers.1.output",
        lambda value: value @ torch.arange(12.0),
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_the_strongest_places_are_those_of_a_search_through_all(with_task, part):
    encoder = with_task(None)
    named, point, measure = PARTS[part]
    everything = values(encoder, point, measure)

    found = most_exciting(encoder, iter(TEXTS), top=7, **named)

    np.testing.assert_allclose([place.value for place in found.places], [each[0] for each in everything[:7]], atol=1e-5)
    assert found.tokens == len(everything) < SAMPLE
    assert found.quantiles[0.5] == pytest.approx(np.median([each[0] for each in everything]), abs=1e-5)
    for place, (_, row, start, end) in zip(found.places, everything, strict=False):
        assert (place.row, place.start, place.end) == (row, start, end)


def test_a_place_is_shown_with_its_characters_in_the_text(with_task):
    (place, *_) = most_exciting(with_task(None), ["Beijing is 北京!"], unit=(0, 0), top=1).places

    assert f"⟦{place.text[place.start : place.end]}⟧" in place.in_context()


def test_an_empty_corpus_has_no_places_and_one_part_must_be_named(with_task):
    encoder = with_task(None)

    assert most_exciting(encoder, [], head=(0, 0)).places == ()
    with pytest.raises(ValueError, match="name one part"):
        most_exciting(encoder, TEXTS)
    with pytest.raises(ValueError, match="name one part"):
        most_exciting(encoder, TEXTS, head=(0, 0), unit=(0, 0))
    with pytest.raises(ValueError, match="heads 0 … 2"):
        most_exciting(encoder, TEXTS, head=(0, 3))
    with pytest.raises(ValueError, match="top must be at least 1"):
        most_exciting(encoder, TEXTS, head=(0, 0), top=0)
    with pytest.raises(ValueError, match="has 12 numbers"):
        most_exciting(encoder, TEXTS, direction=("layers.0.output", torch.ones(5)))


def test_a_picture_colours_every_token_by_its_share_of_the_strongest(with_task, tmp_path, monkeypatch):
    encoder, drawn = with_task(None), []
    monkeypatch.setattr("vitrail.pictures.coloured_text.draw_coloured_texts", drawn.extend)
    monkeypatch.setattr("vitrail.pictures.canvas.save", lambda figure, path: path)
    texts = ["北京 and a long way to go. " * 30, "one 👩‍👩‍👧 café"]

    with pytest.warns(TruncationWarning):
        found = most_exciting(encoder, texts, unit=(1, 3), top=200)
    found.picture(tmp_path / "a.png")

    (title, *panels) = drawn
    assert title.title == "unit 3 of layer 1"
    assert title.said.startswith(found.said)
    assert {panel.said.split(":")[0] for panel in panels} == {"row 0", "row 1"}
    shown = {panel.said[:5]: panel.texts[0] for panel in panels}
    assert "".join(piece for piece, _ in shown["row 1"]) == texts[1]
    assert shown["row 0"][-1] == (" …", 0.0)
    assert max(abs(share) for text in shown.values() for _, share in text) == pytest.approx(1)
    values = {(p.row, p.start, p.end): p.value for p in found.places}
    strongest = max(map(abs, values.values()))
    assert dict(shown["row 1"])["one"] == pytest.approx(values[1, 0, 3] / strongest, abs=1e-6)


def test_a_picture_of_texts_in_every_script_is_a_file(with_task, tmp_path):
    path = most_exciting(with_task(None), ["北京 القطة 👩‍👩‍👧 café"], unit=(1, 3), top=3).picture(tmp_path / "a.png")

    assert path.read_bytes()[:4] == b"\x89PNG"
