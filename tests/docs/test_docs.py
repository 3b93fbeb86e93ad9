"""The documents say what is true: their code runs, their commands print what they show, their links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from docs.pages import PAGES, ROOT, RUN, SHOWN, SLOW, blocks, commands, links
from vitrail.cli.main import app
from vitrail.families import BY_MODEL_TYPE

README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
# Verbs that take a network or a minute: in every run their arguments are checked, and they are not run.
LONG_VERBS = ("download", "verify", "train", "predict")


@pytest.fixture(autouse=True)
def the_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one the pages were written with, whatever the reader's own default is."""
    monkeypatch.delenv("VITRAIL_MODEL", raising=False)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_blocks(page: Path, capsys: pytest.CaptureFixture[str], *, marks: tuple[str, ...]) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        if block.mark not in marks:
            continue
        capsys.readouterr()
        exec(compile(block.body, f"{named(page)}: {block.body.splitlines()[0]}", "exec"), namespace)
        assert capsys.readouterr().out.splitlines() == block.printed, f"{named(page)} prints something else"


WITH_CODE = [page for page in PAGES if any(block.mark == RUN for block in blocks(page, "python"))]
WITH_RIVAL = [page for page in PAGES if any(block.mark == SLOW for block in blocks(page, "python"))]


@pytest.mark.parametrize("page", WITH_CODE, ids=named)
@pytest.mark.filterwarnings("default::vitrail.errors.TruncationWarning")
def test_the_python_of_a_page_runs_and_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    run_blocks(page, capsys, marks=(RUN,))


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_RIVAL, ids=named)
@pytest.mark.filterwarnings("default")
def test_the_python_of_a_page_runs_beside_sentence_transformers(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    run_blocks(page, capsys, marks=(RUN, SLOW))


def same_words(shown: str, printed: str) -> bool:
    return _NUMBER.sub("0", shown).split() == _NUMBER.sub("0", printed).split()


def same_line(shown: str, printed: str) -> bool:
    """Equal words, and numbers equal but for rounding; a speed may be any number."""
    if "tokens/s" in shown:
        shown, printed = (re.sub(r"[\d,]+ tokens/s", "N tokens/s", line) for line in (shown, printed))
    numbers = [[float(text.replace(",", "")) for text in _NUMBER.findall(line)] for line in (shown, printed)]
    return same_words(shown, printed) and numbers[0] == pytest.approx(numbers[1], abs=2e-4)


def test_the_shell_commands_of_the_readme_print_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    ran = set()
    for command in commands(README):
        program, *arguments = shlex.split(command.line)
        if program == "cat":
            Path(arguments[0]).write_text("\n".join(command.output) + "\n", encoding="utf-8")
        elif program == "vitrail" and arguments[0] not in LONG_VERBS:
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert result.exit_code == 0, result.output
            printed = [line for line in result.output.splitlines() if line.strip()]
            for shown in command.output:
                assert shown.strip() == "…" or any(same_line(shown, line) for line in printed), (shown, result.output)
            ran.add(arguments[0])
    assert ran == {"embed", "search", "inspect", "doctor"}


@pytest.mark.slow
def test_verify_finds_what_the_readme_shows():
    verify = next(command for command in commands(README) if command.line == "vitrail verify")
    wide = os.environ | {"COLUMNS": "100"}

    done = subprocess.run([sys.executable, "-m", "vitrail", "verify"], capture_output=True, text=True, env=wide)

    assert done.returncode == 0, done.stderr
    for shown in verify.output:
        assert shown == "…" or any(same_words(shown, line) for line in done.stdout.splitlines()), (shown, done.stdout)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=named)
def test_every_vitrail_command_has_only_arguments_that_exist(page: Path):
    group = get_command(app)
    for command in commands(page):
        program, *arguments = shlex.split(command.line, comments=True)
        if program != "vitrail" or arguments == ["--version"]:
            continue
        verb, *rest = arguments
        assert verb in group.commands, f"{command.line}: there is no verb {verb}"
        group.commands[verb].make_context(verb, rest)  # raises a usage error for an argument that is not there


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_to_a_file(page: Path):
    broken = [target for target in links(page) if not (page.parent / target).exists()]

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_page_has_words(page: Path):
    assert len(page.read_text(encoding="utf-8").split()) > 50


def test_the_first_version_in_the_changelog_is_the_package_s():
    headings = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)

    assert headings[0] == version("vitrail")


def test_both_readmes_have_the_same_code():
    for english, chinese in zip_longest(blocks(README), blocks(CHINESE)):
        assert english == chinese


@pytest.mark.parametrize("page", [README, CHINESE], ids=named)
def test_a_readme_names_every_family_and_no_other(page: Path):
    table = page.read_text(encoding="utf-8").partition("\n| `model_type` |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([a-z0-9_-]+)`(?:, `([a-z0-9_-]+)`)? \|", table, re.M)

    assert {name for row in rows for name in row if name} == set(BY_MODEL_TYPE)


@pytest.mark.parametrize("page", [README, CHINESE], ids=named)
def test_a_readme_has_one_place_for_figures_and_none_without_results(page: Path):
    _, begin, rest = page.read_text(encoding="utf-8").partition("<!-- benchmark:begin -->")
    table, end, _ = rest.partition("<!-- benchmark:end -->")
    results = list((ROOT / "benchmarks" / "results").glob("*.jsonl"))

    assert begin
    assert end
    assert bool(re.search(r"\d", table)) == bool(results), "make bench writes the results and the table together"


def test_the_family_that_contributing_walks_through_is_the_one_in_the_source():
    page = ROOT / "CONTRIBUTING.md"
    shown = [block.body for block in blocks(page, "python") if block.mark == SHOWN]
    family, line, oracle = shown[-3:]

    assert family == (ROOT / "src/vitrail/families/electra.py").read_text(encoding="utf-8")
    assert line in (ROOT / "src/vitrail/families/__init__.py").read_text(encoding="utf-8")
    assert oracle in (ROOT / "tests/oracles/tiny.py").read_text(encoding="utf-8")


def test_architecture_names_every_room_and_every_file_it_names_exists():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    source = ROOT / "src/vitrail"
    rooms = {path.name for path in source.iterdir() if path.is_dir() and path.name != "__pycache__"}
    files = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", text))

    assert {room for room in rooms if f"`{room}/`" not in text} == set()
    assert {name for name in files if not (source / name).exists() and not (ROOT / name).exists()} == set()


def test_architecture_counts_lines_within_a_fifth():
    """Its reading order says how long each stop is; a rounded number is enough, a stale one is not."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    stops = re.findall(r"^\| \d+ \| (.+?) \| (\d+) \|", text, re.M)
    assert stops
    for files, stated in stops:
        paths = [ROOT / "src/vitrail" / name for name in re.findall(r"`([^`]+)`", files)]
        sources = [each for path in paths for each in (path.rglob("*.py") if path.is_dir() else [path])]
        lines = sum(len(source.read_text(encoding="utf-8").splitlines()) for source in sources)
        assert int(stated) == pytest.approx(lines, rel=0.2, abs=10), f"{files}: {lines} lines"
