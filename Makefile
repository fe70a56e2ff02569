# Two commands do everything: `make demo` and `make test`. Both make .venv themselves; it is made again
# only when the pins change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KEY := $(shell cat constraints.txt pyproject.toml | cksum | cut -d' ' -f1)
STAMP := $(VENV)/.installed-$(KEY)
SLIDES ?=
# More for the demo, for example FLAGS='--assume-mpp 0.5 --workers 2'.
FLAGS ?=
# Two cores are the smallest machine we promise to be quick on; more are used where there are more.
JOBS ?= auto

.PHONY: demo test test-long lint bench help venv tools clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP) ## slides → store → index → similar patches, with pictures (SLIDES=folder for your own)
	$(BIN)/slidelake demo $(if $(SLIDES),--slides "$(SLIDES)") $(FLAGS)

test: $(STAMP) tools lint ## lint, types, import rules, tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-long: $(STAMP) tools lint ## everything, the tests of minutes included
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not gpu"

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## every benchmark in full; results into benchmarks/results
	$(BIN)/python -m benchmarks.run_all

venv: $(STAMP) ## only make .venv

# The page is tested in a real browser, and scanned reports are read by a real OCR.
tools: ## Chromium and tesseract, installed where apt-get and the rights for it are at hand
	@command -v chromium >/dev/null && command -v tesseract >/dev/null || { \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo "sudo -n"); \
	  { $$SUDO apt-get update -qq && $$SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    chromium tesseract-ocr >/dev/null; } || \
	  { echo "the tests need chromium and tesseract: install both (Debian: chromium, tesseract-ocr)" >&2; exit 1; }; }

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "slidelake needs Python 3.11 or newer: make PYTHON=python3.12 …"'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@rm -f $(VENV)/.installed-*
	@touch $@

clean: ## remove .venv and the demo's output
	rm -rf $(VENV) .demo
