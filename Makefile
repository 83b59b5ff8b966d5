# Two commands: `make demo` runs three simulated nights, `make test` proves the promises.
# Each makes .venv from constraints.txt by itself; nothing else to install but Python 3.11.
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
SEED ?= 1
LAB ?= demo-lab
PYTHON ?= $(shell command -v python3.11 || command -v python3)

.PHONY: demo test test-long bench lint clean

demo: $(READY)
	$(VENV)/bin/nextplate demo $(LAB) --seed $(SEED)

test: lint
	$(PY) -m pytest -n 2 --dist worksteal --ignore tests/contract
	$(PY) -m pytest -n 4 --dist worksteal tests/contract  # these wait for wires more than they compute

test-long: $(READY)
	$(PY) -m pytest -m long

bench: $(READY)
	$(PY) -m bench.run

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYTHONPATH=src:. $(VENV)/bin/lint-imports --no-cache

$(READY): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "nextplate needs Python 3.11 (opentrons 9 and its pins do not load on others); found: $$("$(PYTHON)" --version 2>&1)."; \
	  echo "Install it (Debian/Ubuntu: apt-get install python3.11 python3.11-venv; macOS: brew install python@3.11; anywhere: pyenv install 3.11)"; \
	  echo "and run again, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	"$(PYTHON)" -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools wheel
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[all,dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info demo-lab bench-out
