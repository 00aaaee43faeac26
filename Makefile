# Thin names for cross-platform Python: on a system without make, run `python3.11 sora_core/headless/bootstrap.py demo` and so on.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)

.PHONY: setup demo test lint bench
setup demo test lint bench:
	@"$(PYTHON)" sora_core/headless/bootstrap.py $@
