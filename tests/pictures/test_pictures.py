"""Pictures are files; what they cannot write is said, and nothing that tells two labels apart is cut."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from vitrail.intervals import Interval
from vitrail.pictures import by_layer, canvas, glyphs, word_grid
from vitrail.pictures.coloured_text import Panel, draw_coloured_texts
from vitrail.pictures.confusion import draw_confusion


def test_labels_that_begin_alike_still_differ_when_they_are_cut():
    labels = [f"why_was_my_card_payment_declined_at_the_{place}" for place in ("shop", "bank")]

    shown, said = canvas.readable(labels, glyphs.writing_of(labels))

    assert said is None
    assert len(set(shown)) == 2
    assert max(map(len, shown)) <= canvas.LONGEST_LABEL


@pytest.mark.parametrize(("found", "shown"), [(set(), ["1", "2"]), (set("好评"), ["好评", "bad"])])
def test_characters_are_drawn_where_a_font_has_them_and_numbered_where_none_has(monkeypatch, found, shown):
    own = glyphs._has
    monkeypatch.setattr(glyphs, "_installed", lambda: {"A Font": "a file"})
    monkeypatch.setattr(glyphs, "_has", lambda file: frozenset(found) if file == "a file" else own(file))
    labels = ["好评", "bad"]

    drawn, said = canvas.readable(labels, glyphs.writing_of(labels))

    assert drawn == shown
    assert (said is None) == bool(found)


def test_a_picture_leaves_the_settings_of_matplotlib_as_they_were(tmp_path):
    before, labels = dict(matplotlib.rcParams), ["好评", "القطة", "👩‍🚀", "bad"]

    draw_confusion(tmp_path / "a.png", np.eye(4, dtype=np.int64), labels, totals=np.ones(4, dtype=np.int64))
    draw_coloured_texts([Panel(title="好评", texts=[[(label, 0.5) for label in labels]], said="好评")])

    assert dict(matplotlib.rcParams) == before


def test_a_dollar_sign_is_no_formula_and_an_empty_label_is_drawn(tmp_path):
    counts = np.array([[3, 1], [0, 2]])

    path, said = draw_confusion(tmp_path / "a.png", counts, ["$x^", ""], totals=np.array([9, 2]))

    assert said is None
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_a_picture_is_of_the_kind_its_name_says(tmp_path, kind, start):
    drawn, _ = canvas.figure(1.0, 1.0)

    assert canvas.save(drawn, tmp_path / f"a.{kind}").read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["a.gif", "a"])
def test_a_picture_of_another_kind_is_refused_and_nothing_is_written(tmp_path, name):
    drawn, _ = canvas.figure(1.0, 1.0)

    with pytest.raises(ValueError, match=r"end its name in \.png, \.svg, \.pdf"):
        canvas.save(drawn, tmp_path / "new" / name)

    assert list(tmp_path.iterdir()) == []


def kept(monkeypatch, module):
    """The figures that a module would save."""
    drawn = []
    monkeypatch.setattr(module, "save", lambda figure, path: drawn.append(figure) or path)
    return drawn


def boxes(figure):
    """Every text that is drawn, with its box in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts]


@pytest.mark.parametrize(("rows", "columns"), [(3, 1), (13, 11)])
def test_words_in_fields_lie_on_the_paper_and_on_no_other_word(tmp_path, monkeypatch, rows, columns):
    drawn = kept(monkeypatch, word_grid)
    words = ["cat", "北京", "القطة", "pneumonoultramicroscopicsilicovolcanoconiosis", "$x^"]

    word_grid.draw_words(
        tmp_path / "a.png",
        [[words[(row + column) % 5] for column in range(columns)] for row in range(rows)],
        np.linspace(0, 1, rows * columns).reshape(rows, columns),
        below=[["0.12 · #12,345"] * columns] * rows,
        marked=np.eye(rows, columns, dtype=np.bool_),
        rows=[f"layers.{row}.output" for row in range(rows)],
        columns=[("mask", "…a text of some length ⟦[MASK]⟧ 北京的秋天很美我们去香山看红叶…")] * columns,
        said="What must be known of this picture, in a sentence that is longer than a line of it is. " * 2,
    )

    (figure,) = drawn
    found, paper = boxes(figure), figure.bbox
    assert len([text for text, _ in found if text.startswith("0.12")]) == rows * columns
    assert sum(len(axis.patches) for axis in figure.axes) == rows * columns
    for place, (text, box) in enumerate(found):
        assert paper.x0 <= box.x0 < box.x1 <= paper.x1, text
        assert paper.y0 <= box.y0 < box.y1 <= paper.y1, text
        assert not any(box.padded(-1.0).overlaps(other) for _, other in found[place + 1 :]), text


def test_of_more_columns_than_a_picture_holds_the_first_are_drawn_and_it_is_said(tmp_path, monkeypatch):
    drawn = kept(monkeypatch, word_grid)
    monkeypatch.setattr(word_grid, "MOST_COLUMNS", 2)

    word_grid.draw_words(
        tmp_path / "a.png",
        [["a", "b", "c"]],
        np.ones((1, 3)),
        below=[["1", "2", "3"]],
        marked=np.zeros((1, 3), dtype=np.bool_),
        rows=["row"],
        columns=[("name", "a text")] * 3,
        said="",
    )

    (figure,) = drawn
    assert sum(len(axis.patches) for axis in figure.axes) == 2
    assert figure.texts[0].get_text().startswith("The first 2 of 3.")


def test_lines_from_layer_to_layer_have_their_names_beside_them(tmp_path, monkeypatch):
    drawn = kept(monkeypatch, by_layer)
    intervals = [Interval(mean=0.5, low=0.4, high=0.6)] * 13
    names = [f"layers.{layer}.output" for layer in range(13)]
    panels = {"accuracy": {"probe": intervals, "control": intervals}}

    by_layer.draw_by_layer(
        tmp_path / "a.png", names, panels, levels={"accuracy": ("most frequent label", 0.5)}, said="a sentence below"
    )

    (figure,) = drawn
    found = [(text, box) for text, box in boxes(figure) if not text.startswith("layers.")]
    assert {"probe", "control", "most frequent label", "a sentence below"} <= {text for text, _ in found}
    for place, (text, box) in enumerate(found):
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
        assert not any(box.overlaps(other) for _, other in found[place + 1 :]), text
