# make demo: set up and run the main job end to end.   make test: set up and pass the tests.
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
.PHONY: demo test lint clean

demo: $(VENV)/demo.stamp
	$(BIN)/python -m rtelasto demo

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/types && ln -sfn ../../engines build/types/rtelasto_engines
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

$(VENV)/created.stamp:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/demo.stamp: setup.cfg pyproject.toml | $(VENV)/created.stamp
	$(BIN)/python -m pip install --editable '.[sim,plot]'
	touch $@

$(VENV)/test.stamp: setup.cfg pyproject.toml | $(VENV)/created.stamp
	$(BIN)/python -m pip install --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info rtelasto-demo
