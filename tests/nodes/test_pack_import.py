"""Importing the pack, not installed, in a fresh process with a real ComfyUI: quick, no network, no disk writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sora_core.headless.comfyui import extra_python_path


@pytest.fixture(scope="module")
def probed(root, comfyui, tmp_path_factory):
    """Imports the pack in a fresh process and returns what was seen."""

    def run():
        base = tmp_path_factory.mktemp("base")
        program = Path(__file__).with_name("import_probe.py")
        command = [sys.executable, program, root, base, comfyui, *extra_python_path()]
        done = subprocess.run([str(part) for part in command], cwd=base, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def probe(probed):
    return probed()


def test_pack_works_without_being_installed(probe):
    assert "SoraLoadModel" in probe["ids"]
    assert all(name.startswith("Sora") for name in probe["ids"])


def test_import_takes_less_than_300_ms(probe, probed):
    # Of processor time; what other processes cost it differs from run to run.
    assert any(seen["seconds"] < 0.3 for seen in (probe, probed(), probed()))


def test_import_touches_neither_network_nor_disk(probe):
    assert probe["touched"] == []
