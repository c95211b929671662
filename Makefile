# `make demo` and `make test` need only Python >= 3.11 and make: they create .venv and install into it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHOP ?= data/sample_shop
HOME_DIR ?= data/home
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: demo test bench ui check lint clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## build the sample shop and run the whole lineage on it
	$(BIN)/fashionrec sample --out $(SHOP)
	$(BIN)/fashionrec run --raw $(SHOP) --home $(HOME_DIR) --preset quick
	$(BIN)/fashionrec ask "a red dress under 60" --home $(HOME_DIR) -k 3

test: $(VENV)/.installed  ## the test suite, a process a core: a thread each, lest they wait for one another
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

$(VENV)-bench/.installed: fashionrec_assets_tests/benchmarks/others/requirements.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench: $(VENV)/.installed $(VENV)-bench/.installed  ## every benchmark beside its alternative: an idle machine, an hour
	FASHIONREC_BENCH_PYTHON=$(VENV)-bench/bin/python $(BIN)/python -m fashionrec_assets_tests.benchmarks

ui: $(VENV)/.installed  ## the Dagster UI on http://127.0.0.1:3000
	$(BIN)/fashionrec ui --home $(HOME_DIR)

check: $(VENV)/.installed  ## every asset check, as a gate
	$(BIN)/fashionrec check --home $(HOME_DIR)

lint: $(VENV)/.installed  ## ruff, pyright and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:  ## forget the sample shop and everything made from it
	rm -rf $(SHOP) $(SHOP)_truth $(HOME_DIR)
