"""Rows by role from the formats of real data sets, and how they are parted, freed of copies and drawn."""

import json
import sys
import types
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.roles import CLASSIFICATION, EMBEDDING, QUESTIONS, TAGGING

from vitrail.errors import FileFormatError
from vitrail.training.datasets import DataConfig, read_data
from vitrail.training.datasets.setting_aside import set_aside


def write(path, content):
    path.write_text(content, encoding="utf-8")
    return str(path)


def bare(rows):
    return [{name: value for name, value in row.items() if name not in ("row", "source")} for row in rows]


def labelled(path, pairs):
    return write(path, "text,label\n" + "".join(f"{text},{label}\n" for text, label in pairs))


def test_columns_of_other_names_in_each_split_play_their_roles(tmp_path):
    train = write(tmp_path / "train.tsv", "label\tsentence\n0\tdull\n1\tfine\n")
    dev = write(tmp_path / "dev.tsv", "label\tcontent\n1\tgood\n")
    roles = {"text": {"train": "sentence", "validation": "content"}}

    data = read_data(DataConfig(train=train, validation=dev, roles=roles), CLASSIFICATION)

    assert bare(data.train) == [{"text": "dull", "label": "0"}, {"text": "fine", "label": "1"}]
    assert bare(data.validation) == [{"text": "good", "label": "1"}]
    assert [(row["row"], row["source"]) for row in data.train] == [(0, train), (1, train)]


def test_columns_named_in_the_other_order_are_still_who_they_are(tmp_path):
    path = write(tmp_path / "a.tsv", "spam\twin now\n")

    data = read_data(DataConfig(train=path, columns=("label", "text")), CLASSIFICATION)

    assert bare(data.train) == [{"text": "win now", "label": "spam"}]


def test_scored_pairs_are_read_without_quoting(tmp_path):
    path = write(tmp_path / "sts.csv", 'news\t5.000\t"A man\tA man"\textra\n')
    config = DataConfig(train=path, delimiter="tab", quoting=False, columns=("genre", "score", "text", "text_pair"))

    assert bare(read_data(config, EMBEDDING).train) == [{"text": '"A man', "text_pair": 'A man"', "score": 5.0}]


def test_parallel_files_are_rows_of_lines_and_must_end_together(tmp_path):
    english = write(tmp_path / "a.en", "one\ntwo\n")
    files = {"text": english, "text_pair": write(tmp_path / "a.de", "eins\nzwei\n")}

    assert bare(read_data(DataConfig(train=files), EMBEDDING).train)[1] == {"text": "two", "text_pair": "zwei"}
    write(tmp_path / "a.de", "eins\n")
    with pytest.raises(FileFormatError, match=r"a\.de ends before line 2"):
        read_data(DataConfig(train=files), EMBEDDING)


def test_sentences_and_questions_are_read_by_their_own_names(tmp_path):
    tagged = write(tmp_path / "a.bio", "Ada B-PER\n\n")
    answer = {"text": "Ada", "answer_start": 0}
    question = {"id": "q1", "question": "who?", "answers": [answer]}
    squad = {"data": [{"paragraphs": [{"context": "Ada did.", "qas": [question]}]}]}
    asked = write(tmp_path / "a.json", json.dumps(squad))

    assert bare(read_data(DataConfig(train=tagged), TAGGING).train) == [{"tokens": ["Ada"], "tags": ["B-PER"]}]
    (row,) = bare(read_data(DataConfig(train=asked), QUESTIONS).train)
    assert row == {"question": "who?", "context": "Ada did.", "answers": [{"text": "Ada", "start": 0}], "id": "q1"}


def test_a_fault_stops_with_its_place_and_points_to_the_doctor(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": 1}\n{"text": 7, "label": 1}\n')

    with pytest.raises(FileFormatError, match=r"a\.jsonl, line 2: 'text' is not a string but a number.*vitrail doctor"):
        read_data(DataConfig(train=path), CLASSIFICATION)


def test_labels_become_words_and_whole_floats_integers(tmp_path):
    values = [1, 1.0, True, "one", ["a", 2]]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps({"text": "a", "label": v}) + "\n" for v in values))

    rows = read_data(DataConfig(train=path), CLASSIFICATION).train

    assert [row["label"] for row in rows] == ["1", "1", "true", "one", ["a", "2"]]


def test_an_unknown_role_is_refused_with_the_nearest(tmp_path):
    path = labelled(tmp_path / "a.csv", [("x", "1")])

    with pytest.raises(ValueError, match=r"no role 'txet'.*Did you mean 'text'"):
        read_data(DataConfig(train=path, roles={"txet": "text"}), CLASSIFICATION)


def test_of_copies_but_for_case_and_space_one_is_kept_and_the_test_set_keeps_its_own(tmp_path):
    train = labelled(tmp_path / "train.csv", [("Win now", "spam"), ("win  NOW", "spam"), ("hi", "ham"), ("yo", "ham")])
    test = labelled(tmp_path / "test.csv", [("HI", "ham")])

    data = read_data(DataConfig(train=train, test=test, deduplicate=True), CLASSIFICATION)

    assert [row["text"] for row in data.train] == ["Win now", "yo"]
    assert data.dropped == {"train": 2, "validation": 0, "test": 0}


texts = st.lists(
    st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.sampled_from("xyz")), min_size=60, max_size=90
)


@given(texts, st.integers(0, 5))
def test_no_text_stands_on_both_sides_whatever_is_drawn(pairs, seed):
    rows = [{"text": text, "label": label, "row": row} for row, (text, label) in enumerate(pairs)]
    try:
        stays, aside = set_aside(rows, 20, roles=CLASSIFICATION, group=None, seed=seed)
    except ValueError:
        return  # groups too large to part, as the next tests show

    assert not {row["text"] for row in stays} & {row["text"] for row in aside}
    assert sorted(row["row"] for row in stays + aside) == list(range(len(rows)))


def test_a_fraction_keeps_the_labels_in_proportion_and_its_size_and_is_the_same_again(tmp_path):
    rows = [(f"text {i}", "rare" if i % 10 == 0 else "common") for i in range(200)]
    config = DataConfig(train=labelled(tmp_path / "a.csv", rows), validation=0.2, test=0.1, seed=3)

    data = read_data(config, CLASSIFICATION)

    counts = [Counter(row["label"] for row in rows) for rows in (data.train, data.validation, data.test)]
    assert counts == [{"common": 126, "rare": 14}, {"common": 36, "rare": 4}, {"common": 18, "rare": 2}]
    assert read_data(config, CLASSIFICATION) == data
    other = read_data(config.model_copy(update={"seed": 4}), CLASSIFICATION)
    assert other.test != data.test


def test_a_label_with_one_row_stays_in_training():
    rows = [{"text": str(i), "label": str(i % 30 or "single")} for i in range(31, 60)]

    stays, aside = set_aside(rows, 5, roles=CLASSIFICATION, group=None, seed=0)

    assert (len(stays), len(aside)) == (29, 0)


def test_rows_tied_into_one_group_cannot_be_parted_and_the_remedy_is_named():
    rows = [{"text": str(i), "text_pair": "yes", "label": "x"} for i in range(20)]

    with pytest.raises(ValueError, match=r"tie the others together.*group: \[text\]"):
        set_aside(rows, 5, roles=CLASSIFICATION, group=None, seed=0)
    assert len(set_aside(rows, 5, roles=CLASSIFICATION, group=["text"], seed=0)[1]) == 5


def test_so_many_rows_of_each_label_are_drawn_in_their_order(tmp_path):
    path = labelled(tmp_path / "a.csv", [(f"text {i}", i % 3) for i in range(60)])

    data = read_data(DataConfig(train=path, per_label=4), CLASSIFICATION)

    assert Counter(row["label"] for row in data.train) == {"0": 4, "1": 4, "2": 4}
    assert [row["row"] for row in data.train] == sorted(row["row"] for row in data.train)
    assert len(read_data(DataConfig(train=path, limit=7), CLASSIFICATION).train) == 7


def test_a_data_set_of_the_hub_gives_the_names_of_its_classes_and_only_on_its_prefix(monkeypatch):
    asked = []

    class Table(list):
        label = types.SimpleNamespace(int2str=["no", "yes"].__getitem__)
        features = types.MappingProxyType({"text": object(), "label": label})

    def load_dataset(name, configuration, *, split):
        asked.append((name, configuration, split))
        return Table([{"text": "a", "label": 1}])

    module = types.SimpleNamespace(__version__="4.1.0", load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", module)
    config = DataConfig(train="hub:owner/name", test="hub:owner/name:small:dev")

    assert bare(read_data(config, CLASSIFICATION).test) == [{"text": "a", "label": "yes"}]
    assert asked == [("owner/name", None, "train"), ("owner/name", "small", "dev")]
    with pytest.raises(FileFormatError, match="needs the network"):
        read_data(config, CLASSIFICATION, offline=True)
