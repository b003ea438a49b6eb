# One virtual environment, made on first use; every target below runs from it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup compare test lint bench clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

compare: setup
	$(BIN)/isp-gym compare --config configs/quick.yaml --out runs/quick

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup lint
	$(BIN)/pytest

bench: setup
	$(BIN)/python benchmarks/modules.py
	$(BIN)/python benchmarks/envs.py
	$(BIN)/python benchmarks/controllers.py

clean:
	rm -rf $(VENV) build *.egg-info
