# `make sweep` rebuilds Table 3 on the digits; `make test` checks everything. Both make .venv first.
PYTHON ?= python3
STUDY ?= label_efficiency
BIN := .venv/bin

.PHONY: sweep test test-cluster check fast clean

sweep: .venv/installed
	$(BIN)/bridgelab sweep $(STUDY)

test: check
	$(BIN)/pytest

# A cluster that `ray up` starts, on network namespaces of this machine: as root, with ip, unshare, sshd, ssh and rsync.
test-cluster: .venv/installed
	$(BIN)/python tests/shared/hosts.py
	$(BIN)/pytest -m cluster -s

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fast: .venv/installed
	$(BIN)/pytest -m "not slow"

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bridgelab needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
