"""Importing the pack, not installed, in a fresh process with a real ComfyUI: nothing slow, no network, no writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sora_core.headless.comfyui import extra_python_path


@pytest.fixture(scope="module")
def probe(root, comfyui, tmp_path_factory):
    base = tmp_path_factory.mktemp("base")
    program = Path(__file__).with_name("import_probe.py")
    command = [sys.executable, program, root, base, comfyui, *extra_python_path()]
    done = subprocess.run([str(part) for part in command], cwd=base, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_pack_works_without_being_installed(probe):
    assert "SoraLoadModel" in probe["ids"]
    assert all(name.startswith("Sora") for name in probe["ids"])


def test_import_brings_in_no_package_that_comfyui_has_not_imported(probe):
    # What is slow to import comes with the first run that needs it; benchmarks/startup.py times the rest.
    assert probe["modules"]
    assert [name for name in probe["modules"] if not name.startswith(("sora_core", "/custom_nodes/sora"))] == []


def test_import_registers_no_operations(probe):
    assert "sora_core.text.expander" not in probe["modules"]  # reads the lexicon and all worlds
    assert "sora_core.dit.packed" not in probe["modules"]  # PyTorch reads the source of every module for the first one


def test_import_touches_neither_network_nor_disk(probe):
    assert probe["touched"] == []
