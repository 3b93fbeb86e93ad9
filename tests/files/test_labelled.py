"""Labelled data of every format: which records there are, under which names, and what costs a record."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrail.errors import FileFormatError
from vitrail.files.labelled import labelled_format, read_labelled
from vitrail.files.records import Layout


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def columns(path, **layout):
    return [dict(record.columns) for record in read_labelled(path, Layout(**layout))]


def errors(path, **layout):
    return [record.error for record in read_labelled(path, Layout(**layout))]


def test_a_file_without_a_header_takes_its_names_from_the_left_and_leaves_the_rest(tmp_path):
    path = write(tmp_path / "a.csv", 'x\t"quoted\t5\n\ny\tb\t4\tfurther\n')

    read = columns(path, delimiter="\t", quoted=False, names=("genre", "text", "score"))

    assert read == [
        {"genre": "x", "text": '"quoted', "score": "5"},
        {"genre": "y", "text": "b", "score": "4"},
    ]


def test_a_line_with_fewer_fields_than_names_costs_itself(tmp_path):
    path = write(tmp_path / "a.tsv", "ham\thello\nspam\n")

    assert errors(path, names=("label", "text")) == [None, "line 2: 1 fields, names are given for 2"]


def test_columns_may_have_any_name_in_labelled_data(tmp_path):
    path = write(tmp_path / "a.csv", "row,error,text\n1,2,3\n")

    assert columns(path) == [{"row": "1", "error": "2", "text": "3"}]


def test_records_know_the_line_they_begin_on(tmp_path):
    path = write(tmp_path / "a.csv", 'text\n"two\nlines"\none\n')

    assert [record.line for record in read_labelled(path, Layout())] == [2, 4]


@pytest.mark.parametrize("separator", ["\t", " ", "   "])
def test_conll_sentences_end_at_blank_lines_and_the_tag_stands_last(tmp_path, separator):
    lines = ["-DOCSTART- -X- O", "", "EU NNP B-ORG", "# # O", "", " ", "Brexit NN O", "\t"]
    path = write(tmp_path / "a.conll", "\n".join(line.replace(" ", separator) for line in lines))

    assert columns(path) == [
        {"tokens": ["EU", "#"], "tags": ["B-ORG", "O"]},
        {"tokens": ["Brexit"], "tags": ["O"]},
    ]


def test_a_comment_of_conll_is_no_token_and_a_hash_with_a_tag_is_none_of_them(tmp_path):
    path = write(tmp_path / "a.conll", "# newdoc id = 3\nA O\n\n# O\nB O\n\n#tag\tB-X\n")

    assert [sentence["tokens"] for sentence in columns(path)] == [["A"], ["#", "B"], ["#tag"]]


def test_a_line_of_conll_without_a_tag_costs_its_sentence_only(tmp_path):
    path = write(tmp_path / "a.bio", "A O\nalone\n\nB O\n")

    assert errors(path) == ["line 2 has no tag: 'alone'", None]
    assert [record.line for record in read_labelled(path, Layout())] == [1, 4]


def test_squad_gives_a_record_for_each_question_answerable_or_not(tmp_path):
    answered = {"id": "1", "question": "who?", "answers": [{"text": "Ada", "answer_start": 0}], "is_impossible": False}
    impossible = {"id": "2", "question": "why?", "answers": [], "is_impossible": True}
    article = {"title": "T", "paragraphs": [{"context": "Ada did.", "qas": [answered, impossible]}]}
    path = write(tmp_path / "a.json", json.dumps({"version": "v2.0", "data": [article]}))

    shared = {"title": "T", "context": "Ada did."}
    assert columns(path) == [
        shared | {"id": "1", "question": "who?", "answers": [{"text": "Ada", "start": 0}], "is_impossible": False},
        shared | {"id": "2", "question": "why?", "answers": [], "is_impossible": True},
    ]


def test_a_malformed_answer_costs_its_question_and_another_shape_the_file(tmp_path):
    question = {"id": "1", "question": "who?", "answers": [{"text": "Ada", "answer_start": "0"}]}
    document = {"data": [{"paragraphs": [{"context": "Ada", "qas": [question, 7]}]}]}

    assert errors(write(tmp_path / "a.json", json.dumps(document))) == [
        "question '1': an answer needs `text` and `answer_start`",
        "a question is not an object but int",
    ]
    for content in ("[]", "{}", "{", b"\xff"):
        with pytest.raises(FileFormatError, match=r"b\.json"):
            columns(write(tmp_path / "b.json", content))


def test_parquet_keeps_lists_and_numbers_and_marks_what_is_not_utf8(tmp_path):
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"], pa.binary()).buffers())
    pq.write_table(pa.table({"tokens": [["a", "b"]], "score": [0.5], "text": broken}), tmp_path / "a.parquet")

    (record,) = read_labelled(str(tmp_path / "a.parquet"), Layout())

    assert record.columns == {"tokens": ["a", "b"], "score": 0.5, "text": "\ufffd"}
    assert record.error == "a text is not UTF-8"


def test_json_lines_may_hold_other_fields_in_every_line(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n\n[1]\n{"label": 3}\n')

    assert columns(path) == [{"text": "a"}, {}, {"label": 3}]
    assert errors(path) == [None, "line 3 is not a JSON object but list", None]


def test_the_format_is_said_where_the_name_does_not_say_it(tmp_path):
    assert labelled_format("train.char.bmes", Layout()) == "conll"
    assert labelled_format("x.csv.gz", Layout()) == "csv"
    assert labelled_format("emerging.annotated", Layout(file_format="conll")) == "conll"
    with pytest.raises(FileFormatError, match="does not say its format"):
        labelled_format("emerging.annotated", Layout())
