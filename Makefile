# make demo    see it work: no account, nothing spent
# make test    linters, types, import contracts and all tests
# make docs    build the documentation site into build/docs
# make matrix    the wheel on every supported Python, with the newest and the oldest dependencies
# make release-check    wheel and sdist: metadata, contents, same bytes twice, an installation of each
# make fuzz    random answers, storyboards and videos, for about five minutes
# make bench    what a production costs beyond the API's time, beside other programs; takes about four minutes
# make fleet    40 storyboards on two workers, one of which dies; takes about ten minutes
# make campaign    2,000 clips under random faults, killed 200 times; takes about an hour

.DEFAULT_GOAL := test
.PHONY: demo test lint tests docs matrix release-check campaign fleet bench fuzz format clean compiled

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

demo: $(INSTALLED)
	@$(VENV)/bin/prefect-seedance demo

test: lint tests

lint: $(INSTALLED)
	@$(VENV)/bin/ruff check --quiet
	@$(VENV)/bin/ruff format --quiet --check
	@$(VENV)/bin/mypy --no-error-summary
	@$(VENV)/bin/lint-imports --no-logo
	@$(VENV)/bin/zizmor --quiet --offline --no-progress .github
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*

# Four processes for two cores, because tests with servers wait half of their time.
tests: compiled
	@$(VENV)/bin/pytest -q -n 4 --dist loadfile --no-loadscope-reorder

# Material announces its successor in every build; see docs/explanation/decisions.md. With --quiet, MkDocs would
# not count warnings.
docs: $(INSTALLED)
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict
	@echo "The documentation is in build/docs/index.html"

matrix: $(INSTALLED)
	@$(VENV)/bin/python -m tests.matrix

release-check: $(INSTALLED)
	@$(VENV)/bin/python -m tests.release --keep dist

fuzz: $(INSTALLED)
	@FUZZ_FACTOR=80 $(VENV)/bin/pytest -q tests/hostile/test_fuzz.py

campaign: compiled
	@$(VENV)/bin/python -m benchmarks.campaign

fleet: compiled
	@$(VENV)/bin/python -m benchmarks.fleet --check

bench: compiled
	@$(VENV)/bin/python -m benchmarks.overhead --json build/overhead.json

format: $(INSTALLED)
	@$(VENV)/bin/ruff check --quiet --fix
	@$(VENV)/bin/ruff format --quiet

clean:
	@rm -rf $(VENV) build dist films productions .mypy_cache .hypothesis .ruff_cache .pytest_cache .import_linter_cache

# Without this, and with PYTHONDONTWRITEBYTECODE, each process would compile the package for itself.
compiled: $(INSTALLED)
	@$(VENV)/bin/python -m compileall -q prefect_seedance flows

# pip says nothing but errors; --group needs pip 25.1.
$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) what constraints.txt pins; it takes about a minute"
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --upgrade "pip>=25.1"
	@$(VENV)/bin/python -m pip install -qq -c constraints.txt -e . --group dev
	@touch $@
