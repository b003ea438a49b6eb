# Virtual environments, made on first use: one for everything but test-full, whose torchvision needs another torch.
PYTHON ?= python3
VENV := .venv
VENV_FULL := .venv-full
BIN := $(VENV)/bin
# The tests of what torch computes: their results may differ in the last bit from one CPU to another.
NUMERIC := $(addprefix tests/,modules networks tasks rewards envs agents baselines)

.PHONY: setup setup-full compare test test-kernels test-full lint bench soak clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

setup-full: $(VENV_FULL)/.installed

$(VENV_FULL)/.installed: pyproject.toml constraints.txt constraints-full.txt
	$(PYTHON) -m venv $(VENV_FULL)
	$(VENV_FULL)/bin/python -m pip install --quiet --constraint constraints-full.txt --editable '.[dev,yolo]'
	touch $@

compare: setup
	$(BIN)/isp-gym compare --config configs/quick.yaml --out runs/quick

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup lint
	$(BIN)/pytest

test-kernels: setup
	$(BIN)/python .ci/kernels.py $(NUMERIC)

test-full: setup-full
	$(VENV_FULL)/bin/pytest -m full

bench: setup
	$(BIN)/python perf/modules.py
	$(BIN)/python perf/envs.py
	$(BIN)/python perf/controllers.py

soak: setup
	$(BIN)/python perf/kill_and_resume.py --kills 20

clean:
	rm -rf $(VENV) $(VENV_FULL) build *.egg-info
