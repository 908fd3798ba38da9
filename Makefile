# The commands that people and CI share. `.ci/run` runs all of them in fresh virtual environments.
.DEFAULT_GOAL := help
.PHONY: help install lint format types definitions test test-system torture docs reference

# Material for MkDocs announces its successor on every build.
export NO_MKDOCS_2_WARNING := 1

help:  ## print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 20

install:  ## install everything that development needs into the active virtual environment
	pip install -e '.[local,dev,docs]' -c constraints.txt

lint:  ## ruff, import rules, generated files
	ruff check .
	ruff format --check .
	lint-imports
	python .ci/async_to_sync.py --check
	python docs/reference.py --check

format:  ## sort imports and format
	ruff check --fix --select I .
	ruff format .

types:  ## mypy, strict
	mypy

definitions:  ## load the Dagster code location
	dagster definitions validate

test:  ## unit and integration tests; an embedded PostgreSQL is started for them
	pytest

test-system:  ## tests of processes, kills, UI and wheel; slow
	pytest tests/system

torture:  ## strike commands and their server at aimed moments; takes some 20 minutes
	python -m tests.torture

docs:  ## build the documentation into build/docs
	mkdocs build --quiet --strict -f docs/mkdocs.yml

reference:  ## rewrite docs/pages/reference from the code
	python docs/reference.py
