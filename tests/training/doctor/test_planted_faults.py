"""Each fault is planted alone into data that are otherwise clean, and found: that one, at those rows, and no other."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrail.training.datasets import DataConfig
from vitrail.training.doctor import examine
from vitrail.training.doctor.checks import CHECKS

TOPICS = ("sea", "sky", "fire", "wood", "stone", "iron", "glass", "salt")
CLEAN = [(f"a text about {topic}", "ab"[index % 2]) for index, topic in enumerate(TOPICS)]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def table(path, rows, header="text\tlabel"):
    return write(path, "\n".join([header, *("\t".join(row) for row in rows)]) + "\n")


def json_lines(path, rows):
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def told(config, task="text-classification", **options):
    """What a finding is known by: its id, split and rows."""
    return [(found.id, found.split, found.rows) for found in examine(config, task, **options)]


def with_rows(tmp_path, *rows):
    return told(DataConfig(train=table(tmp_path / "a.tsv", [*CLEAN, *rows])))


def test_in_clean_data_nothing_is_found(tmp_path):
    assert with_rows(tmp_path) == []


@pytest.mark.parametrize(
    ("id", "row"),
    [
        ("empty-text", ("   ", "a")),
        ("nan-text", ("nan", "a")),
        ("mojibake", ("the cafÃ© is shut", "b")),
        ("mojibake", ("Stalloneâ€™s son", "b")),
        ("mojibake", ("ä½\xa0å¥½", "b")),
        ("mojibake", ("锟斤拷", "b")),
        ("replacement-character", ("caf\ufffd", "b")),
        ("control-characters", ("that\x92s a bell", "b")),
        ("huge-text", ("word " * 20_001, "a")),
        ("similar-labels", ("another text", "A ")),
        ("conflicting-labels", ("A text  about sea", "b")),
        ("duplicate-row", ("a text about sea", "a")),
        ("missing-value", ("a text without a label", "")),
        ("unreadable-record", ("a text", "a", "and a field too many")),
    ],
)
def test_one_planted_row_is_found_as_what_it_is(tmp_path, id, row):
    found = [finding for finding in with_rows(tmp_path, row) if finding[0] != "long-text"]

    assert found == [(id, "train", (8,))]


def test_words_of_other_languages_are_no_mojibake(tmp_path):
    words = [
        "VOILÀ» dit-il",
        "Ärger über Öl",
        "SÃO PAULO",
        "naïve café — “quoted”…",
        "Grüße 你好 привет",
        "25 °C ± 2",
        "£5",
    ]

    assert with_rows(tmp_path, *[(word, "ab"[i % 2]) for i, word in enumerate(words)]) == []


def test_a_column_that_is_not_there_is_named_with_the_nearest_that_is(tmp_path):
    path = table(tmp_path / "a.tsv", CLEAN, header="text\tlable")

    (found,) = examine(DataConfig(train=path), "text-classification")

    assert (found.id, found.count) == ("missing-column", 8)
    assert "Did you mean 'lable'?" in found.remedy


def test_values_that_are_no_strings_or_not_there_are_found_each_as_what_it_is(tmp_path):
    rows = [{"text": text, "label": label} for text, label in CLEAN]
    planted = [{"text": 7, "label": "a"}, {"text": None, "label": "a"}, {"text": ["a"], "label": "a"}]
    config = DataConfig(train=json_lines(tmp_path / "a.jsonl", rows + planted))

    assert told(config) == [("missing-value", "train", (9,)), ("wrong-type", "train", (8, 10))]


def test_a_nan_in_a_table_is_a_missing_value(tmp_path):
    labels = [float("nan"), *([0.0, 1.0] * 4)]
    pq.write_table(pa.table({"text": ["one", *(text for text, _ in CLEAN)], "label": labels}), tmp_path / "a.parquet")

    assert told(DataConfig(train=str(tmp_path / "a.parquet"))) == [("missing-value", "train", (0,))]


def test_bytes_that_are_not_utf8_are_an_error_and_a_mark_at_the_beginning_a_note(tmp_path):
    clean = table(tmp_path / "a.tsv", CLEAN)
    content = b"\xef\xbb\xbf" + Path(clean).read_bytes() + "酒店\ta\n".encode("gb18030")

    findings = examine(DataConfig(train=write(tmp_path / "b.tsv", content)), "text-classification")

    assert [(found.id, found.severity, found.rows) for found in findings] == [
        ("bad-utf8", "error", (8,)),
        ("byte-order-mark", "note", (0,)),
    ]


def test_labels_and_texts_are_compared_across_splits(tmp_path):
    test = [("a new text", "c"), ("A TEXT about  sky", "b"), ("a text about fire", "a"), ("also new", "a")]
    config = DataConfig(train=table(tmp_path / "a.tsv", CLEAN), test=table(tmp_path / "b.tsv", test))

    assert told(config) == [("unseen-label", "test", (0,)), ("text-in-two-splits", "test", (1, 2))]
    across = examine(config, "text-classification")[1]
    assert "1 of them but for case or white space" in across.message
    assert across.examples[1] == "row 2: as row 2 of train: a text about fire"


def test_one_label_and_one_label_too_rare(tmp_path):
    same = table(tmp_path / "a.tsv", [(text, "a") for text, _ in CLEAN])
    rare = table(tmp_path / "b.tsv", [(f"text {i}", "b" if i == 30 else "a") for i in range(40)])

    assert told(DataConfig(train=same)) == [("one-class", "train", tuple(range(8)))]
    assert told(DataConfig(train=rare)) == [("class-imbalance", "train", (30,))]


def test_a_file_without_rows(tmp_path):
    config = DataConfig(train=table(tmp_path / "a.tsv", CLEAN), test=table(tmp_path / "b.tsv", []))

    assert told(config) == [("empty-split", "test", ())]


def sentences(*tags):
    return "\n\n".join("\n".join(f"w{i}_{j} {tag}" for j, tag in enumerate(row.split())) for i, row in enumerate(tags))


@pytest.mark.parametrize(
    ("tags", "broken"),
    [
        (("B-X I-X O", "O B-Y", "O I-X O", "B-X I-Y"), (2, 3)),
        (("I-X I-X O", "I-X B-X I-X", "O I-Y"), ()),
        (("B-X M-X E-X", "S-X O", "B-X O", "M-X E-X", "B-X M-X"), (2, 3, 4)),
        (("DET NOUN", "VERB I-X"), ()),
    ],
)
def test_transitions_are_those_of_the_scheme_that_the_tags_are_in(tmp_path, tags, broken):
    config = DataConfig(train=write(tmp_path / "a.bio", sentences(*tags)))

    expected = [("broken-transition", "train", broken)] if broken else []
    assert told(config, "token-classification") == expected


def test_tokens_without_tags_and_tokens_that_are_nothing(tmp_path):
    rows = [
        {"tokens": ["Ada", "slept"], "tags": ["B-X", "O"]},
        {"tokens": ["Ada", "wrote", "on"], "tags": ["B-X", "O"]},
        {"tokens": [" ", "slept", "in"], "tags": ["O", "O", "O"]},
    ]

    found = told(DataConfig(train=json_lines(tmp_path / "a.jsonl", rows)), "token-classification")

    assert found == [("length-mismatch", "train", (1,)), ("empty-token", "train", (2,))]


def test_a_line_without_a_tag(tmp_path):
    config = DataConfig(train=write(tmp_path / "a.bio", "Ada B-X\nslept O\n\nAda\nwoke O\n"))

    assert told(config, "token-classification") == [("unreadable-record", "train", (1,))]


def test_answers_that_stand_elsewhere_or_nowhere_and_where_they_are(tmp_path):
    context = "Ada wrote the first program. Ada slept."
    asked = [("who?", "Ada", 0), ("who slept?", "Ada", 25), ("what?", "The First", 10), ("why?", "because", 3)]
    questions = [
        {"id": str(i), "question": question, "answers": [{"text": text, "answer_start": start}]}
        for i, (question, text, start) in enumerate(asked)
    ]
    questions.append({"id": "0", "question": "unanswerable?", "answers": [], "is_impossible": True})
    document = {"data": [{"paragraphs": [{"context": context, "qas": questions}]}]}
    config = DataConfig(train=write(tmp_path / "a.json", json.dumps(document)))

    misplaced, absent, repeated = examine(config, "question-answering")

    assert (misplaced.id, misplaced.rows) == ("misplaced-answer", (1,))
    assert misplaced.examples == ("row 1: 'Ada' should stand at 25, and stands at 29",)
    assert (absent.id, absent.rows) == ("answer-not-in-context", (2, 3))
    assert "but for case or white space it is in the context" in absent.examples[0]
    assert (repeated.id, repeated.rows) == ("repeated-id", (4,))


def test_parallel_files_of_unequal_length(tmp_path):
    files = {"text": write(tmp_path / "a.en", "one\ntwo\nthree\n"), "text_pair": write(tmp_path / "a.de", "eins\n")}

    assert told(DataConfig(train=files), "embedding") == [("line-counts-differ", "train", (1, 2))]


def test_scores_outside_the_scale_of_the_others_and_words_for_scores(tmp_path):
    scores = [str(i % 6) for i in range(98)]
    rows = [(f"one {i}", f"two {i}", score) for i, score in enumerate([*scores, "55", "high", "nan", "inf"])]
    path = table(tmp_path / "a.tsv", rows, header="text\ttext_pair\tscore")

    assert told(DataConfig(train=path), "embedding") == [
        ("not-a-number", "train", (99, 100, 101)),
        ("score-outside-range", "train", (98,)),
    ]


def test_long_texts_are_a_note_by_estimate_and_a_warning_by_the_tokenizer(tmp_path, minilm_folder):
    rows = [*CLEAN, ("word " * 700, "a"), ("店" * 600, "b"), ("word " * 100, "b")]
    config = DataConfig(train=table(tmp_path / "a.tsv", rows))

    assert told(config) == [("long-text", "train", (8, 9))]
    counted = told(config, tokenizer=minilm_folder, max_length=64)
    assert counted == [("cut-text", "train", (8, 9, 10))]


def test_data_beyond_the_bound_are_said_not_to_be_examined(tmp_path, monkeypatch):
    monkeypatch.setattr("vitrail.training.doctor.view.MOST_ROWS", 6)

    assert with_rows(tmp_path, ("nan", "a")) == [("not-all-examined", "train", ())]


def test_the_task_is_told_by_the_names_of_roles_and_asked_for_where_they_are_not_there(tmp_path):
    path = table(tmp_path / "a.tsv", CLEAN, header="review\tstars")

    assert examine(DataConfig(train=path, roles={"text": "review", "label": "stars"})) == []
    with pytest.raises(ValueError, match=r"which task.*review, stars"):
        examine(DataConfig(train=path))


def test_every_check_is_in_the_table_under_the_id_it_finds():
    assert all(id == id.lower() and " " not in id for id in CHECKS)
    assert len(set(CHECKS.values())) == len(CHECKS)
