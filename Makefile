# For contributors. You need Python 3.11 or later, git and make; everything else is installed into .venv* folders.
PYTHON ?= python3
PYTEST = $(BIN)/python -m pytest
BIN := .venv/bin

.PHONY: help demo test coverage test-browser test-slow test-services test-airflow lint airflow constraints clean

help:  ## List these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv/ready  ## Send videos from a real Airflow to the sandbox
	$(BIN)/python -m dev.demo

test: .venv/ready  ## Unit tests, tests over real sockets, every example DAG in a real Airflow
	$(PYTEST) -m "not browser and not slow and not services" -n auto --cov --cov-report=

coverage: .venv/ready  ## Report and check the coverage of the last "make test"
	$(BIN)/coverage report --skip-covered --show-missing --fail-under=95
	$(BIN)/coverage report --include="airflow_provider_kaleyra/whatsapp/*" --fail-under=100

test-browser: .venv/ready  ## Tests of the sandbox's page and of Airflow's UI, in Chromium
	$(PYTEST) -m "browser"

test-slow: .venv/ready  ## Tests that take minutes: faults, kills, many recipients
	$(PYTEST) -m "slow and not services"

test-services: .venv/ready  ## Tests that need PostgreSQL, pgbouncer and Redis on this machine
	$(PYTEST) -m "services"

test-airflow: .venv/ready  ## "make test" on every supported Airflow, with a table of the results; AIRFLOWS="2.11 3.0" selects versions
	$(BIN)/python -m dev.test_airflow $(AIRFLOWS)

lint: .venv/ready  ## ruff, format check, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

airflow: .venv/ready  ## Run Airflow's UI and the sandbox, until Ctrl-C
	$(BIN)/python -m dev.playground

constraints: .venv/ready  ## Resolve the constraints of every supported Airflow again
	$(BIN)/python -m dev.constraints

clean:  ## Delete what these targets created
	rm -rf .venv* build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/ready: pyproject.toml constraints/airflow-3.3.txt dev/environment.py
	$(PYTHON) dev/environment.py 3.3 .venv
	@touch $@
