"""The set-up behind `make`: what it does where something is missing."""

import subprocess
import sys

import pytest

from sora_core.headless import bootstrap


def test_environment_that_was_left_without_pip_is_completed(monkeypatch, tmp_path):
    def run(command, **options):
        raise subprocess.CalledProcessError(1, command)

    python = tmp_path / "python"
    python.touch()
    for name, value in {"VENV": tmp_path, "PYTHON": python, "STAMP": tmp_path / "stamp"}.items():
        monkeypatch.setattr(bootstrap, name, value)
    monkeypatch.setattr(bootstrap, "version_of", lambda package: None)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        bootstrap.set_up("dev")
    assert caught.value.cmd == [sys.executable, "-m", "venv", str(tmp_path)]


def test_python_that_is_too_old_is_named_before_anything_is_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was installed"))
    sentence = "needs Python 3.11 or newer, and this is 3.10: make PYTHON="
    with monkeypatch.context() as old:
        old.setattr(sys, "version_info", (3, 10, 12))
        with pytest.raises(SystemExit, match=sentence):
            bootstrap.main(["setup"])


def test_environment_that_is_there_serves_an_older_python_too(monkeypatch, tmp_path):
    """`make` finds the system's Python again, whichever made .venv."""
    for name in ("PYTHON", "STAMP"):
        monkeypatch.setattr(bootstrap, name, tmp_path / name)
    bootstrap.PYTHON.touch()
    bootstrap.STAMP.write_text(bootstrap.fingerprint("headless,dev"))
    with monkeypatch.context() as old:
        old.setattr(sys, "version_info", (3, 10, 12))
        code = bootstrap.main(["setup"])
    assert code == 0


def test_a_comfyui_that_was_updated_is_set_up_anew(monkeypatch, tmp_path):
    """What it needs is installed by the set-up alone."""
    monkeypatch.setenv("COMFYUI_DIR", str(tmp_path))
    needed = tmp_path / "requirements.txt"
    needed.write_text("aiohttp>=3.11")
    before = bootstrap.fingerprint("headless,dev")
    assert bootstrap.fingerprint("headless,dev") == before
    needed.write_text("aiohttp>=3.11\nsqlalchemy")
    assert bootstrap.fingerprint("headless,dev") != before
