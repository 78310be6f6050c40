# make run   the whole pipeline, from a fresh clone to the report
# make test  the whole test suite
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LABEL_STUDIO := .label-studio/venv

export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install run ui test check label-studio

help:  ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(VENV)/.installed  ## Environment and packages, once

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

run: install  ## The pipeline: dvc repro, then where to look
	dvc repro
	@echo
	@echo "Report:  reports/report.html"
	@echo "MLflow:  make ui   (http://127.0.0.1:5000)"

ui: install  ## MLflow's pages on this machine
	mlflow ui --host 127.0.0.1 --backend-store-uri sqlite:///mlflow.db

test: $(VENV)/.installed-test check  ## Format, lint, types, import rules, all tests
	pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.installed-test
	ruff format --check .
	ruff check .
	mypy
	lint-imports

label-studio: $(LABEL_STUDIO)/.installed  ## Label Studio in an environment of its own, once

$(LABEL_STUDIO)/.installed: label-studio-constraints.txt
	$(PYTHON) -m venv $(LABEL_STUDIO)
	$(LABEL_STUDIO)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< label-studio
	@touch $@
