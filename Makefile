# `make demo` and `make test` do everything on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint release clean

demo: $(VENV)/demo
	$(BIN)/keras-video demo --output demo_output

test: $(VENV)/test lint
	sh tests/run.sh $(BIN)/python

lint: $(VENV)/test
	$(BIN)/ruff check .

# Builds and checks the wheel and the source archive; see tools/release.py.
release: $(VENV)/release
	rm -rf dist
	$(BIN)/python tools/release.py --output dist

$(VENV)/demo: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[tensorflow-cpu,demo]'
	touch $@

$(VENV)/test: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,jax,torch]'
	touch $@

$(VENV)/release: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[tensorflow-cpu,release]'
	touch $@

clean:
	rm -rf $(VENV) demo_output dist
