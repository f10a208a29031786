# make demo: set up and run the main job end to end.   make test: set up and pass the quick tests.
# make test-rest: the tests that make test leaves out.   make test-all: both.
# make docs: the site, in build/site.   make docs-links: are the pages of others that it links to there?
# make dist: what a release consists of, in dist/, checked.
# A checkout that cannot be written: make demo VENV=/elsewhere/venv OUT=/elsewhere/demo
PYTHON ?= python3
VENV ?= .venv
OUT ?= rtelasto-demo
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
# Installing leaves files in the source's folder: where that cannot be written, a copy is installed, and
# what is installed is run, not what lies here (-P).
SOURCE := $(shell test -w . || echo $(VENV)/source)
INSTALL := $(BIN)/python -m pip install --quiet $(if $(SOURCE),$(SOURCE),--editable .)
.PHONY: demo test test-rest test-all lint docs docs-links dist clean
# All of it anew, so that no warning hides in what was built before.
SPHINX := $(BIN)/python -m sphinx -c docs -d build/doctrees -E -W --keep-going -q
# Described in pyproject.toml.
NOT_QUICK := slow or browser or octave or faults or fuzz

demo: $(VENV)/demo.stamp
	$(BIN)/python -P -m rtelasto demo --out "$(OUT)"

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not ($(NOT_QUICK))"

test-rest: $(VENV)/test.stamp
	$(BIN)/python -m pytest -m "$(NOT_QUICK)"

test-all: test test-rest

# Collecting the tests finds what they import and is gone, in seconds.
lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/types && ln -sfn ../../engines build/types/rtelasto_engines
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest --collect-only -qq > build/collected.txt || (cat build/collected.txt; exit 1)

docs: $(VENV)/docs.stamp
	$(SPHINX) -b html . build/site

docs-links: $(VENV)/docs.stamp
	$(SPHINX) -b linkcheck . build/links

dist: $(VENV)/release.stamp
	rm -rf dist
	$(BIN)/python -P -m build --no-isolation --outdir dist
	$(BIN)/python -P -m twine check --strict dist/*

$(VENV)/created.stamp:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/demo.stamp: setup.cfg pyproject.toml | $(VENV)/created.stamp $(SOURCE)
	$(INSTALL)'[sim,plot]'
	touch $@

$(VENV)/test.stamp: setup.cfg pyproject.toml | $(VENV)/created.stamp $(SOURCE)
	$(INSTALL)'[test]'
	touch $@

$(VENV)/docs.stamp: setup.cfg pyproject.toml | $(VENV)/created.stamp $(SOURCE)
	$(INSTALL)'[docs]'
	touch $@

$(VENV)/release.stamp: setup.cfg pyproject.toml | $(VENV)/created.stamp
	$(INSTALL)'[release]'
	touch $@

$(VENV)/source: | $(VENV)/created.stamp
	mkdir $@
	cp -R LICENSE README.md setup.cfg setup.py pyproject.toml rtelasto engines $@
	chmod -R u+w $@

clean:
	rm -rf $(VENV) build dist *.egg-info rtelasto-demo
