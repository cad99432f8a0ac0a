# Everything happens in .venv, which `make setup` creates. PYTHON chooses the interpreter that it is made from.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
export HF_HUB_DISABLE_TELEMETRY := 1
export HF_DATASETS_DISABLE_PROGRESS_BARS := 1
# Where it is set, each of the many processes of the tests compiles torch anew, for four seconds.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo docs schemas lint format test test-fast test-core test-full bench clean

setup: $(STAMP)

# The pip that Python brings may be old, and takes a minute longer to resolve; compiling all modules takes another, of
# which most are never imported.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile -e '.[dev]'
	$(BIN)/python -c 'import cv2, torch, million_ird, dynet'
	$(BIN)/python -c 'from million_ird.scan.warm_up import compile_measures; compile_measures()'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python pipelines/demo.py --out demo_output

# The pages of docs/ as a site in build/site.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The JSON schemas that editors check recipes by; a test fails when they are not those of the models.
schemas: $(STAMP)
	$(BIN)/python pipelines/schemas.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Tests of functions and classes that start no other program: under a minute on 2 cores.
test-fast: $(STAMP)
	$(BIN)/python -m pytest -m fast -n 2 --dist loadfile

# Two processes, each with whole files of tests: most tests wait for programs that they have started. The longest come
# first (tests/conftest.py), not those with the most tests.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What core dependencies alone must pass, without torch; BIN names another environment. CI runs it with lowest versions.
test-core:
	$(BIN)/python -m pytest tests/million_ird

test-full: lint
	$(BIN)/python -m pytest -m '' -n 2 --dist loadfile --no-loadscope-reorder

bench: $(STAMP)
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv build dist demo_output *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
