# Everything runs in .venv, made on first use; PYTHON=python3.12 chooses another interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests that run at once: most of their time is single processes that start and stop.
JOBS ?= 2
# The package alone, and with all that its tests need.
PACKAGE := $(VENV)/.package
INSTALLED := $(VENV)/.installed

.PHONY: demo test check drills gpu format clean

demo: $(PACKAGE)  ## the main job end to end on video it makes itself
	$(BIN)/vfm demo vfm-demo

test: check  ## what CI runs, under its short name

check: $(INSTALLED)  ## style, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --durations=15

gpu: $(INSTALLED)  ## UMT-B on a machine with a GPU, eight minutes at most; GPU='--batch 512' changes options
	$(BIN)/python benchmarks/umt/gpu.py $(GPU)

drills: $(INSTALLED)  ## the long fault drills that `make test` leaves out
	$(BIN)/python -m pytest -m slow

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) vfm-demo

$(PACKAGE): WANTED := .
$(INSTALLED): WANTED := .[dev]
$(PACKAGE) $(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vfm needs Python 3.11 or newer and $(PYTHON) is older: run make PYTHON=/path/to/python3.11"; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet --editable '$(WANTED)' -c constraints.txt
	@touch $(PACKAGE) $@
