# make demo and make test need Python >= 3.10 and nothing else.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# What the tests need is installed without bytecode; what they import is compiled once, not by each
# of their processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-server test test-cluster collect lint format model samples clean

demo: .venv/core  ## index the sample pictures and search them
	$(BIN)/lookalike demo

demo-server: .venv/server  ## index the sample pictures and open the page to search them
	$(BIN)/lookalike demo --serve

test: .venv/dev  ## all tests
	scripts/install_chromium.sh
	$(BIN)/python -m pytest -n 3 --dist worksteal

test-cluster: .venv/cluster  ## indexing on a Ray cluster of three nodes on this machine
	$(BIN)/python -m pytest tests/cluster

collect: .venv/dev  ## whether the files of `make test` can be imported; it compiles what they import
	$(BIN)/python -m pytest --collect-only -qqq

lint: .venv/dev  ## style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

model: .venv/dev  ## make the packaged model again: make model PHOTOS=folder
	$(BIN)/python scripts/export_default_model.py $(PHOTOS)

samples: .venv/dev  ## make the sample pictures again: make samples STAMPS=folder
	$(BIN)/python scripts/make_samples.py $(STAMPS)

clean:
	rm -rf .venv build dist

.venv/core: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP_INSTALL) -e .
	touch $@

.venv/server: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP_INSTALL) -e '.[server]'
	touch .venv/core $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP_INSTALL) --no-compile -e '.[dev]'
	touch .venv/core .venv/server $@

.venv/cluster: .venv/dev
	$(PIP_INSTALL) --no-compile -e '.[dev,cluster]'
	touch $@

.venv/bin/python:
	$(PYTHON) -m venv .venv
