# `make demo` and `make test` work from a bare clone: they create the virtual environment and install into it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests run in two processes; one thread each keeps them from fighting over the cores.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test lint bench docs fuzz soak audit lock clean

demo: $(INSTALLED)
	$(BIN)/dped demo

test: $(INSTALLED) lint
	$(TEST_ENV) $(BIN)/pytest -n 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy cli.py dped_data dped_train

bench: $(INSTALLED)
	$(BIN)/python benchmarks/alignment.py

# Too long for every change: for a machine that has a night.
fuzz: $(INSTALLED)
	$(TEST_ENV) $(BIN)/python tests/faults/fuzz.py --count 100000

soak: $(INSTALLED)
	$(TEST_ENV) $(BIN)/python benchmarks/soak.py

audit: $(INSTALLED)
	VENV=$(VENV) .ci/audit

# The same versions as in constraints.txt, with the hashes of PyPI's files; torch comes from where its build for the machine is.
lock: $(INSTALLED)
	VENV=$(VENV) .ci/lock

docs: $(INSTALLED)
	$(BIN)/python docs/generate_settings.py
	$(BIN)/mkdocs build --strict

# spandrel, for a test, without torchvision, whose build must be of torch's kind; architectures of others need it.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps spandrel einops
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info demo
