"""What an embedding job writes, and what it refuses."""

import fcntl
import io
import json
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrail.errors import FileFormatError, FingerprintMismatch, JobError
from vitrail.files.embeddings import read_description, read_embeddings
from vitrail.jobs.embed_job import check_paths, embed_job, embed_to_stream
from vitrail.jobs.encoding import EmbedOptions


@pytest.fixture
def run(tmp_path, fake_encoder):
    """Embed lines of text (or a file) to a named output in tmp_path."""

    def run(source, output="out.parquet", *, encoder=None, tokens=False, **options):
        if isinstance(source, list):
            (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in source))
            source = tmp_path / "in.txt"
        job = {name: options.pop(name) for name in ("column", "file_format", "overwrite") if name in options}
        chosen = EmbedOptions(tokens=tokens, **options)
        return embed_job(encoder or fake_encoder(), [str(source)], str(tmp_path / output), options=chosen, **job)

    return run


def test_parquet_holds_row_the_input_columns_the_vectors_the_counts_and_the_description(tmp_path, run, fake_encoder):
    pq.write_table(pa.table({"id": pa.array([7, 8], pa.int16()), "text": ["a b", "c " * 20]}), tmp_path / "in.parquet")

    report = run(tmp_path / "in.parquet", encoder=fake_encoder(prompts={"query": "q: "}), prompt="query")

    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["row", "id", "text", "embedding", "input_tokens", "used_tokens", "error"]
    assert table.schema.field("id").type == pa.int16()
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 5)
    assert table["row"].to_pylist() == [0, 1]
    assert table["input_tokens"].to_pylist() == [2, 20]
    assert table["used_tokens"].to_pylist() == [2, 8]
    assert table["error"].to_pylist() == [None, None]
    assert (report.rows, report.errors, report.truncated, report.tokens) == (2, 0, 1, 10)
    description = json.loads(table.schema.metadata[b"vitrail"])
    assert description["weights_sha256"] == "a" * 64
    assert description["prompt"] == "q: "
    assert (description["pooling"], description["normalized"]) == (["mean"], False)
    assert set(description) >= {"name", "revision", "dimensions", "precision", "version"}


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl", "out.npy"])
def test_every_format_gives_back_the_same_vectors_and_keeps_the_place_of_a_failed_row(tmp_path, run, output):
    report = run(["one", "POISON", "three"], output)

    batch = next(read_embeddings(tmp_path / output))
    run(["one", "three"], "reference.npy")
    reference = np.load(tmp_path / "reference.npy")
    assert batch.numbers.tolist() == [0, 2]
    assert batch.without_vector == report.errors == 1
    np.testing.assert_array_equal(batch.vectors[:, :4], reference[:, :4])
    assert [row["text"] for row in batch.columns] == ["one", "three"]
    assert read_description(tmp_path / output)["dimensions"] == 5


def test_a_failed_row_is_null_in_parquet_and_json_lines_and_nan_in_npy_with_its_error_beside_it(tmp_path, run):
    for output in ("out.parquet", "out.jsonl", "out.npy"):
        run(["one", "POISON", "three"], output)
    error = "InputError: this text is poison"

    table = pq.read_table(tmp_path / "out.parquet")
    assert table["embedding"].to_pylist()[1] is None
    assert table["error"].to_pylist() == [None, error, None]
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[1] == {
        "row": 1, "text": "POISON", "embedding": None, "input_tokens": None, "used_tokens": None, "error": error,
    }  # fmt: skip
    assert np.isnan(np.load(tmp_path / "out.npy")).all(axis=1).tolist() == [False, True, False]
    beside = json.loads((tmp_path / "out.npy.json").read_text())
    assert [row["error"] for row in beside["rows"]] == [None, error, None]
    assert beside["vitrail"]["name"] == "fake"


def test_poison_is_found_by_halving_and_the_others_keep_their_vectors(run, tmp_path, fake_encoder):
    encoder = fake_encoder()
    report = run([f"POISON {n}" if n in (3, 40) else f"text {n}" for n in range(64)], encoder=encoder)

    errors = pq.read_table(tmp_path / "out.parquet")["error"].to_pylist()
    assert [row for row, error in enumerate(errors) if error] == [3, 40]
    assert report.errors == 2
    assert len(encoder.calls) < 30


def test_rows_the_reader_refused_are_errors_in_their_place(tmp_path, run):
    (tmp_path / "in.jsonl").write_text('{"text": "a", "n": 1}\nnot json\n{"text": null, "n": 3}\n')

    assert run(tmp_path / "in.jsonl").errors == 2

    table = pq.read_table(tmp_path / "out.parquet")
    assert table["n"].to_pylist() == [1, None, 3]
    assert table["error"].to_pylist()[2] == "the text is null"


def test_columns_of_changing_types_over_parts_become_text_in_parquet_and_stay_what_they_were_in_json(
    tmp_path, run, parts_of_ten
):
    values = [1] * 10 + [2.5] * 10 + ["x"] * 10 + [{"a": [1]}] * 2
    lines = [{"text": "t", "v": value, **({"late": True} if n > 20 else {})} for n, value in enumerate(values)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    run(tmp_path / "in.jsonl", "out.parquet")
    run(tmp_path / "in.jsonl", "out.jsonl")

    table = pq.read_table(tmp_path / "out.parquet")
    assert [table["v"][n].as_py() for n in (0, 10, 20, 30)] == ["1", "2.5", "x", '{"a": [1]}']
    assert table["late"].to_pylist()[20:22] == [None, True]
    written = [json.loads(line)["v"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert written == values


def test_one_vector_per_token_is_written_as_lists(tmp_path, run):
    run(["ab cd", "", "POISON"], tokens=True)

    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert rows[0]["token_ids"] == [0, 1]
    assert rows[0]["offsets"] == [[0, 2], [3, 5]]
    assert rows[0]["special"] == [False, False]
    assert np.array(rows[0]["token_embeddings"]).shape == (2, 5)
    assert rows[1]["token_ids"] == []
    assert rows[2]["token_embeddings"] is None
    assert "poison" in rows[2]["error"]

    assert run(["word " * 9], "out.jsonl", tokens=True, overwrite=True).truncated == 1
    run(["ab cd"], "out.jsonl", tokens=True, overwrite=True)
    assert len(json.loads((tmp_path / "out.jsonl").read_text())["token_embeddings"]) == 2


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl", "out.npy"])
def test_an_input_without_rows_gives_an_output_without_rows(tmp_path, run, output):
    assert run([], output).rows == 0
    assert sum(len(batch.numbers) for batch in read_embeddings(tmp_path / output)) == 0


def interrupt(run, monkeypatch, texts, **options):
    """Stop a job after its second part, as Ctrl-C does."""
    with monkeypatch.context() as patch:
        patch.setattr("vitrail.jobs.partial_folder.kill_point", stop_after_two_parts())
        with pytest.raises(KeyboardInterrupt):
            run(texts, **options)


def stop_after_two_parts():
    seen = []

    def stop(name):
        seen.append(name)
        if seen.count("after-part") == 2:
            raise KeyboardInterrupt

    return stop


TEXTS = [f"text {n}" for n in range(35)]


def test_an_interrupted_job_computes_only_what_is_missing(tmp_path, run, monkeypatch, parts_of_ten, fake_encoder):
    interrupt(run, monkeypatch, TEXTS)
    encoder = fake_encoder()

    report = run(TEXTS, encoder=encoder)

    assert report.resumed_rows == 20
    assert [len(call) for call in encoder.calls] == [1, 10, 5]  # the first finds the size of the vectors
    run(TEXTS, "whole.parquet")
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_job_is_not_resumed_with_another_model_option_or_input(
    tmp_path, run, monkeypatch, parts_of_ten, fake_encoder
):
    interrupt(run, monkeypatch, TEXTS)

    with pytest.raises(FingerprintMismatch, match="weights_sha256 was 'aaa"):
        run(TEXTS, encoder=fake_encoder(weights="b" * 64))
    with pytest.raises(FingerprintMismatch, match="dimensions was None, is 3"):
        run(TEXTS, dimensions=3)
    before = os.stat(tmp_path / "in.txt")
    (tmp_path / "in.txt").write_text((tmp_path / "in.txt").read_text().replace("text 30", "TEXT 30"))
    os.utime(tmp_path / "in.txt", ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
    with pytest.raises(FingerprintMismatch, match="input 1"):
        run(tmp_path / "in.txt")

    assert run(TEXTS).resumed_rows == 20


def test_a_second_process_on_the_same_output_is_refused(tmp_path, run):
    (tmp_path / "out.parquet.partial").mkdir()
    with (tmp_path / "out.parquet.partial" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JobError, match="another process is writing"):
            run(["a"])


def test_an_input_that_changes_while_it_is_read_is_noticed(tmp_path, fake_encoder):
    path = tmp_path / "in.txt"
    path.write_text("a\nb\n")

    class Meddler(fake_encoder):
        def embed_detailed(self, texts, **options):
            if texts != ["text"]:
                path.write_text("a\nchanged\n")
            return super().embed_detailed(texts, **options)

    with pytest.raises(JobError, match="an input changed while it was read"):
        embed_job(Meddler(), [str(path)], str(tmp_path / "out.parquet"), options=EmbedOptions())


def test_an_output_that_exists_is_replaced_only_on_demand(tmp_path, run):
    run(["a"], "out.npy")
    with pytest.raises(FileExistsError, match="--overwrite"):
        run(["b"], "out.npy")
    run(["b", "c"], "out.npy", overwrite=True)
    assert len(np.load(tmp_path / "out.npy")) == 2


def test_a_mistake_leaves_nothing_behind_that_stands_in_the_way_of_the_corrected_command(tmp_path, run):
    (tmp_path / "in.csv").write_text("title,abstract\na,b\n")
    with pytest.raises(FileFormatError):
        run(tmp_path / "in.csv", column="abstrakt")
    with pytest.raises(ValueError, match="dimensions"):
        run(tmp_path / "in.csv", column="abstract", dimensions=99)

    assert run(tmp_path / "in.csv", column="abstract").rows == 1


def test_standard_input_goes_to_a_file_but_is_not_resumed(tmp_path, fake_encoder, monkeypatch, parts_of_ten):
    def job():
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(TEXTS).encode())))
        return embed_job(fake_encoder(), ["-"], str(tmp_path / "out.parquet"), options=EmbedOptions())

    with monkeypatch.context() as patch:
        patch.setattr("vitrail.jobs.partial_folder.kill_point", stop_after_two_parts())
        with pytest.raises(KeyboardInterrupt):
            job()

    assert job().resumed_rows == 0
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 35


def test_a_stream_of_json_lines_has_the_same_rows(tmp_path, run, fake_encoder):
    run(["one", "POISON"], "out.jsonl")
    stream = io.StringIO()
    embed_to_stream(fake_encoder(), [str(tmp_path / "in.txt")], stream, options=EmbedOptions())

    assert stream.getvalue() == (tmp_path / "out.jsonl").read_text()


def test_paths_that_cannot_work_are_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "a.txt").write_text("a\n")

    def check(source, output, *, tokens=False, overwrite=False):
        check_paths([str(source)], str(output), file_format=None, tokens=tokens, overwrite=overwrite)

    with pytest.raises(FileNotFoundError):
        check(tmp_path / "missing.txt", tmp_path / "o.npy")
    with pytest.raises(FileNotFoundError, match="create it first"):
        check(tmp_path / "a.txt", tmp_path / "no" / "o.npy")
    with pytest.raises(ValueError, match=r"\.parquet, \.jsonl, \.npy"):
        check(tmp_path / "a.txt", tmp_path / "o.csv")
    with pytest.raises(ValueError, match="does not fit"):
        check(tmp_path / "a.txt", tmp_path / "o.npy", tokens=True)
    with pytest.raises(ValueError, match="takes no prompt"):
        EmbedOptions(tokens=True, prompt="query")


def test_an_output_is_never_one_of_the_inputs(tmp_path, run):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "out.parquet")

    with pytest.raises(ValueError, match="is an input too"):
        run(tmp_path / "out.parquet", overwrite=True)
