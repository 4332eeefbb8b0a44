# make run, make test: each makes what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE  # a process that compiles all that it imports starts three times as slowly
.PHONY: help install run test audit lint types contract clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

install: $(STAMP)  ## make the virtual environment and install fedkd into it

run: $(STAMP)  ## a federated distillation on synthetic data, ending in a report
	$(BIN)/python -m simulations.run simulations/conf/quickstart.toml

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest

audit: $(STAMP)  ## attack a small protected run; fails where more is learnt than promised
	$(BIN)/python -m simulations.audit simulations/conf/quickstart.toml --canaries 4000 --shadows 1 \
		--set privacy.mode=central --set privacy.epsilon=4 --set privacy.delta=1e-5

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

contract: $(STAMP)  ## who may import whom
	$(BIN)/lint-imports

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
