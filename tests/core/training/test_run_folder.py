"""Folders of runs: each belongs to one command, and nothing that a kill leaves stays there."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sora_core import tensor_files
from sora_core.data.store import CAPTIONS_PIN, CLIPS_PIN
from sora_core.tensor_files import save_tensors
from sora_core.training.loop import LOG
from sora_core.training.run_folder import LOCK, NETWORKS, SETTINGS, own_folder, pin_networks
from sora_core.training.state import STATE


def test_what_a_killed_save_leaves_is_deleted_by_the_next_run(tmp_path, monkeypatch):
    run, killed = tmp_path / "run", tmp_path / "killed"

    def watched(tensors, path, metadata):
        Path(path).with_name(".tmpA1b2C3").write_bytes(b"half")  # as safetensors does itself
        shutil.copytree(run, killed)
        save_file(tensors, path, metadata)

    monkeypatch.setattr(tensor_files, "save_file", watched)
    save_tensors({"a": torch.zeros(2)}, run / STATE, {})
    assert [path.name for path in run.iterdir()] == [STATE]
    assert list(killed.rglob(".tmpA1b2C3"))
    with own_folder(killed):
        assert [path.name for path in killed.iterdir()] == [LOCK]


def test_a_folder_belongs_to_one_command_at_a_time(tmp_path):
    with own_folder(tmp_path), pytest.raises(ValueError, match=r"another process trains in .*; let it end"):
        own_folder(tmp_path).__enter__()
    with own_folder(tmp_path):
        pass


def test_where_nothing_can_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file cannot be written: File exists; choose another folder"):
        own_folder(tmp_path / "file").__enter__()


@pytest.mark.parametrize("name", [CAPTIONS_PIN, CLIPS_PIN, NETWORKS, SETTINGS, LOG])
def test_files_that_no_training_made_are_not_touched(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"holds a {name} of something else than a training; choose another folder"):
        own_folder(tmp_path).__enter__()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_paths_on_the_way_to_a_tensor_file_are_little_longer_than_its_own(tmp_path, monkeypatch):
    written, path = [], tmp_path / f"{'a' * 120}.safetensors"

    def watched(tensors, inside, metadata):
        written.append(inside)
        save_file(tensors, inside, metadata)

    monkeypatch.setattr(tensor_files, "save_file", watched)
    save_tensors({"a": torch.zeros(2)}, path, {})
    assert path.is_file()
    assert len(str(written[0])) < len(str(path)) + 30  # Windows allows 260 letters


def test_files_are_for_whom_other_files_are(tmp_path):
    save_tensors({"a": torch.zeros(2)}, tmp_path / "a.safetensors", {})
    (tmp_path / "b").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_run_goes_on_with_the_networks_it_began_with_alone(tmp_path):
    pin_networks(tmp_path, {"compression network": "a", "text encoder": "b"})
    pin_networks(tmp_path, {"compression network": "a", "text encoder": "b"})
    with pytest.raises(ValueError, match="the text encoder is not the one that this run began with; bring it back or"):
        pin_networks(tmp_path, {"compression network": "a", "text encoder": "c"})


def test_what_a_killed_note_leaves_is_deleted_by_the_next_run(tmp_path):
    (tmp_path / ".log.jsonl.0a1b2c3d.part").touch()
    with own_folder(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.parametrize(
    ("made", "bound"),
    [
        (None, set()),
        ("latents_0a/a.safetensors", {CLIPS_PIN}),
        (STATE, {CLIPS_PIN, CAPTIONS_PIN, NETWORKS}),
    ],
)
def test_what_a_run_was_to_begin_with_binds_it_once_something_was_made_of_it(tmp_path, made, bound):
    pins, run = {CLIPS_PIN, CAPTIONS_PIN, NETWORKS}, tmp_path / "run"

    def refused():
        with own_folder(run):
            for path in [run / name for name in (*pins, made) if name]:
                path.parent.mkdir(exist_ok=True)
                path.touch()
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        refused()
    assert run.exists() == (made is not None)
    assert {pin for pin in pins if (run / pin).exists()} == bound


def test_a_run_that_is_refused_its_folder_takes_nothing_from_the_one_that_has_it(tmp_path):
    with own_folder(tmp_path):
        (tmp_path / CLIPS_PIN).touch()
        with pytest.raises(ValueError, match="another process trains in"):
            own_folder(tmp_path).__enter__()
        assert (tmp_path / CLIPS_PIN).exists()
