"""Files that are whole or absent: what killed programs left goes, what another one is writing stays."""

import errno
import os
import time
from pathlib import Path

import pytest
import torch

from sora_core.files import KILLED, WAITS, whole_or_absent, writable
from sora_core.tensor_files import save_tensors


def test_what_killed_programs_left_goes_and_what_may_still_be_written_stays(tmp_path):
    target, long_ago = tmp_path / "clip[1].mp4", time.time() - 2 * KILLED
    killed, other = tmp_path / ".clip[1].mp4.0a1b2c3d.part", tmp_path / ".clip1.mp4.0a1b2c3d.part"
    folder, running = tmp_path / ".clip[1].mp4.k3_x9.part", tmp_path / ".clip[1].mp4.4e5f6a7b.part"
    folder.mkdir()
    for path in (killed, other, running, folder / "clip[1].mp4"):
        path.touch()
    for path in (killed, other, folder):
        os.utime(path, (long_ago, long_ago))
    with whole_or_absent(target) as temporary:
        temporary.write_bytes(b"whole")
    assert set(tmp_path.iterdir()) == {target, other, running}


def test_names_as_long_as_a_disk_holds_can_be_written(tmp_path):
    path = tmp_path / f"{'球' * 83}.txt"
    writable(path)
    with whole_or_absent(path) as temporary:
        temporary.write_bytes(b"whole")
    weights = tmp_path / f"{'球' * 81}.safetensors"
    save_tensors({"a": torch.zeros(2)}, weights, {})
    assert {p.name for p in tmp_path.iterdir()} == {path.name, weights.name}


def test_a_name_that_no_disk_holds_is_refused_before_the_work(tmp_path):
    with pytest.raises(ValueError, match=r"mp4 cannot be written: File name too long; .* choose another name"):
        writable(tmp_path / f"{'a' * 252}.mp4")


def test_a_file_that_somebody_looks_into_for_a_moment_is_renamed_all_the_same(tmp_path, monkeypatch):
    target, replace, waits = tmp_path / "clip.mp4", os.replace, []

    def busy(source, target):
        if len(waits) < 2:
            raise PermissionError(13, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(time, "sleep", waits.append)
    with whole_or_absent(target) as temporary:
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert waits == list(WAITS[:2])


def test_a_file_that_stays_in_use_is_refused(tmp_path, monkeypatch):
    def busy(source, target):
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(PermissionError), whole_or_absent(tmp_path / "clip.mp4") as temporary:
        temporary.write_bytes(b"whole")
    assert not any(tmp_path.iterdir())


def test_a_file_that_a_player_shows_is_refused_before_the_work(tmp_path, monkeypatch):
    shown = tmp_path / "clip.mp4"
    shown.write_bytes(b"shown")
    writable(shown)
    assert shown.read_bytes() == b"shown"

    def in_use(source, target):
        raise PermissionError(13, "The process cannot access the file because it is being used by another process")

    monkeypatch.setattr(os, "rename", in_use)
    with pytest.raises(ValueError, match=r"clip.mp4 cannot be written: .* used by another process; close it"):
        writable(shown)


def test_a_disk_that_is_read_only_is_not_said_to_have_an_open_file(tmp_path, monkeypatch):
    def read_only(*names, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "clip.mp4").touch()
    monkeypatch.setattr(os, "rename", read_only)
    monkeypatch.setattr(Path, "write_bytes", read_only)
    with pytest.raises(ValueError, match=r"cannot be written: Read-only file system; choose another folder"):
        writable(tmp_path / "clip.mp4")
