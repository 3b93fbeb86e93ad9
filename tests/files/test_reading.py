"""Rows of every format: what is a row, what costs a row, and what is no file of that format at all."""

import gzip
import io
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrail.errors import FileFormatError
from vitrail.files import lines as lines_module
from vitrail.files.reading import count_rows, format_of, read_rows


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def rows(*paths, **options):
    return list(read_rows(paths, **options))


def texts_and_errors(*paths, **options):
    return [(row.number, row.text if row.error is None else row.error) for row in read_rows(paths, **options)]


def test_a_text_file_is_one_text_per_line_with_empty_lines_kept_and_bom_and_line_ends_dropped(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffone\r\n\ntwo 字\u2028still two\nlast")

    assert [row.text for row in rows(path)] == ["one", "", "two 字\u2028still two", "last"]


def test_a_line_that_is_not_utf8_or_too_long_costs_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module, "MAX_ROW_BYTES", 16)
    path = write(tmp_path / "a.txt", b"good\nbad \xff byte\n" + b"x" * 40 + b"\nalso good\n")

    assert texts_and_errors(path) == [
        (0, "good"),
        (1, "line 2 is not UTF-8 (byte 0xff at position 4)"),
        (2, "line 3 is longer than 16 bytes"),
        (3, "also good"),
    ]


def test_csv_has_a_header_quotes_line_breaks_and_a_bom(tmp_path):
    path = write(tmp_path / "a.csv", '\ufeffid,text\r\n7,"a ""quoted"", broken\r\ntext"\r\n\r\n8,\r\n')

    assert [(dict(row.columns), row.text) for row in rows(path)] == [
        ({"id": "7", "text": 'a "quoted", broken\r\ntext'}, 'a "quoted", broken\r\ntext'),
        ({"id": "8", "text": ""}, ""),
    ]


def test_a_csv_row_with_a_stray_quote_or_too_few_fields_costs_itself_and_not_the_rows_behind_it(tmp_path):
    path = write(tmp_path / "a.csv", 'id,text\n1,"ab"c\n2\n3,x,y\n4,fine\n5,"never closed\n')

    found = texts_and_errors(path)

    assert [number for number, _ in found] == [0, 1, 2, 3, 4]
    assert found[0][1].startswith("line 2: ")
    assert found[1][1] == "line 3: 1 fields, the header has 2"
    assert found[2][1] == "line 4: 3 fields, the header has 2"
    assert found[3][1] == "fine"
    assert found[4][1] == "line 6: unexpected end of data"


def test_bad_bytes_in_csv_cost_the_row_whose_other_columns_stay(tmp_path):
    row = rows(write(tmp_path / "a.csv", b"id,text\n5,caf\xe9\n"))[0]

    assert row.text is None
    assert "not UTF-8" in row.error
    assert dict(row.columns) == {"id": "5", "text": "caf\ufffd"}


def test_tsv_is_not_quoted(tmp_path):
    path = write(tmp_path / "a.tsv", 'sentence\tlabel\n"half a quote\t1\nplain\t0\n')

    assert [row.text for row in rows(path)] == ['"half a quote', "plain"]


def test_json_lines_keep_every_field_and_damaged_lines_cost_themselves(tmp_path):
    lines = [
        '{"text": "a", "n": 1, "tags": ["x"]}',
        "",
        '{"text": "b"',
        '{"text": null}',
        '{"text": 3}',
        '{"n": 2}',
        '{"text": NaN}',
        '{"text": "\\ud800"}',
        '["text"]',
        '{"text": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"text": "first", "text": "last"}',
        '{"text": "c", "row": 1}',
    ]
    found = rows(write(tmp_path / "a.jsonl", "\n".join(lines)))

    assert found[0].columns == {"text": "a", "n": 1, "tags": ["x"]}
    assert [row.number for row in found] == list(range(12))
    assert [row.text for row in found if row.error is None] == ["a", "last"]
    expected = ["not JSON", "null", "not a string but int", "no field", "NaN", "surrogate", "not a JSON object"]
    for row, words in zip(found[1:8], expected, strict=True):
        assert words in row.error
    assert "nested too deeply" in found[9].error
    assert "'row'" in found[11].error


def test_parquet_keeps_types_and_reads_every_kind_of_string(tmp_path):
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        path = tmp_path / "a.parquet"
        times = pa.array([1, 2], pa.timestamp("ns"))
        pq.write_table(pa.table({"when": times, "text": pa.array(["a", None]).cast(kind)}), path)

        found = rows(str(path))

        assert found[0].text == "a"
        assert found[0].columns["when"].type == pa.timestamp("ns")
        assert found[1].error == "the text is null"


def test_parquet_strings_that_are_not_utf8_cost_their_row(tmp_path):
    buffers = pa.array(["ab", "c"]).buffers()
    bad = pa.Array.from_buffers(pa.string(), 2, [None, buffers[1], pa.py_buffer(b"\xffbc")])
    pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")

    assert texts_and_errors(str(tmp_path / "a.parquet")) == [(0, "the text is not UTF-8"), (1, "c")]


def test_several_inputs_of_several_formats_are_one_stream_numbered_through(tmp_path):
    first = write(tmp_path / "a.txt", "one\ntwo\n")
    second = write(tmp_path / "b.csv.gz", gzip.compress(b"text\nthree\n"))
    pq.write_table(pa.table({"content": ["four"]}), tmp_path / "c.parquet")

    found = texts_and_errors(first, second, str(tmp_path / "c.parquet"))

    assert found == [(0, "one"), (1, "two"), (2, "three"), (3, "four")]


def test_standard_input_is_text_unless_a_format_is_given(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "a"}\n')))
    assert [row.text for row in rows("-")] == ['{"text": "a"}']

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "a"}\n')))
    assert [row.text for row in rows("-", file_format="jsonl")] == ["a"]


def test_the_text_column_is_the_only_one_or_a_usual_name_or_asked_for(tmp_path):
    only = write(tmp_path / "a.csv", "abstract\nx\n")
    usual = write(tmp_path / "b.csv", "id,content,sentence\n1,c,s\n")
    other = write(tmp_path / "c.csv", "id,title,abstract\n1,t,a\n")

    assert rows(only)[0].text == "x"
    assert rows(usual)[0].text == "s"
    assert rows(other, column="title")[0].text == "t"
    with pytest.raises(FileFormatError, match=r"which column holds the text\?.*id, title, abstract"):
        rows(other)
    with pytest.raises(FileFormatError, match=r"no column 'abstrat'.*Did you mean 'abstract'"):
        rows(other, column="abstrat")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_column_named_as_one_of_the_output_is_refused(tmp_path, name):
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.table({"text": ["a"], "embedding": [1]}), path)
    else:
        path.write_text("text,embedding\na,1\n" if name.endswith("csv") else '{"text": "a", "embedding": 1}\n')

    with pytest.raises(FileFormatError, match=r"'embedding'.*Rename or drop"):
        rows(str(path))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"PAR1....", "is a Parquet file"),
        ("a.csv", "text\n".encode("utf-16"), "UTF-16"),
        ("a.csv", b"", "no readable header"),
        ("a.csv", b"text,text\na,b\n", "more than once"),
        ("a.txt", gzip.compress(b"x", mtime=0), "end in .gz"),
        ("a.txt.gz", b"plain", "gzip"),
        ("a.txt.gz", gzip.compress(b"some text" * 99, mtime=0)[:-12], "gzip"),
        ("a.jsonl", b'[{"text": "a"}]', "not a JSON object but list"),
        ("a.jsonl", b"just words\n", "not JSON lines"),
        ("a.parquet", b"text\nx\n", "not a Parquet file"),
        ("a.doc", b"", "does not say its format"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused_as_a_whole(tmp_path, name, content, words):
    with pytest.raises(FileFormatError, match=words):
        rows(write(tmp_path / name, content))


def test_a_parquet_column_that_holds_no_strings_is_refused(tmp_path):
    pq.write_table(pa.table({"text": [1]}), tmp_path / "a.parquet")

    with pytest.raises(FileFormatError, match="holds int64, not strings"):
        rows(str(tmp_path / "a.parquet"))


def test_a_format_can_be_said_and_an_unknown_one_is_refused(tmp_path):
    assert [row.text for row in rows(write(tmp_path / "a.dat", "text\nx\n"), file_format="csv")] == ["x"]
    with pytest.raises(ValueError, match=r"'xml'.*text, csv, tsv, jsonl, parquet"):
        format_of("a.xml", "xml")


def test_rows_are_counted_without_being_parsed(tmp_path):
    text = write(tmp_path / "a.txt", "a\nb\n")
    table = write(tmp_path / "b.csv", "text\nc\n")
    pq.write_table(pa.table({"text": ["d", "e"]}), tmp_path / "c.parquet")

    assert count_rows([text, table, str(tmp_path / "c.parquet")]) == 5


@given(content=st.binary(max_size=200))
def test_no_bytes_whatever_make_a_line_format_fail_otherwise_than_by_its_own_error(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("any") / "a", content)
    for file_format in ("text", "csv", "tsv", "jsonl"):
        try:
            found = rows(path, file_format=file_format)
        except FileFormatError:
            continue
        assert [row.number for row in found] == list(range(len(found)))
        assert all((row.text is None) != (row.error is None) for row in found)
