# Everything from a fresh machine: each target builds .venv first if it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Threads that spin while they wait starve each other on small machines.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test bench gpu lint clean

demo: $(STAMP)
	$(BIN)/usct demo -o demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-bench
	$(BIN)/python -m tests.bench

# Installs nothing and uses no environment but PYTHON's own: torch, numpy, scipy, h5py, triton and pytest do.
gpu:
	$(PYTHON) -m pytest -m gpu
	$(PYTHON) -m tests.bench

clean:
	rm -rf $(VENV) build demo

# torch goes first and alone, so that pip picks the build for this machine: CPU, or CUDA where there is a GPU.
$(STAMP): pyproject.toml .ci/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c .ci/constraints.txt torch
	$(BIN)/python -m pip install --quiet -c .ci/constraints.txt -e '.[dev]'
	touch $@

$(VENV)/.installed-bench: $(STAMP)
	$(BIN)/python -m pip install --quiet -c .ci/constraints.txt -e '.[bench]'
	touch $@
