"""A killed run loses at most one save interval and then ends with exactly the weights of an uninterrupted one."""

import json
import signal
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sora_core.config import preset
from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.store import ClipStore
from sora_core.training import vae as vae_training
from sora_core.training.dit import DiTTask
from sora_core.training.loop import TrainConfig, train
from sora_core.training.text import TextTask
from sora_core.training.vae import VAETask

CONFIG = TrainConfig(steps=7, warmup=2, save_every=2, report_every=3, sheet_every=100)

RUN = """
import os, signal, sys
from pathlib import Path
from sora_core.config import preset
from sora_core.data.store import ClipStore
from sora_core.training import vae as vae_training
from sora_core.training.loop import TrainConfig, train

moment, data, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
vae_training.PIXELS = 12_000
task = vae_training.VAETask(preset("nano").vae, ClipStore(data), compile=False)
loss, replace, saves = task.loss, os.replace, []

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying_loss(step):
    if step == 5:
        die()
    return loss(step)

def dying_replace(source, target):
    if target.name == "state.safetensors":
        saves.append(target)
    if len(saves) == 3:
        die()
    replace(source, target)

if moment == "in a step":
    task.loss = dying_loss
else:
    os.replace = dying_replace
train(task, TrainConfig(steps=7, warmup=2, save_every=2, report_every=3, sheet_every=100), out)
"""


def state(out):
    return load_file(out / "state.safetensors")


def assert_equal_states(a, b):
    assert a.keys() == b.keys()
    assert {name for name, value in a.items() if not torch.equal(value, b[name])} == set()


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(vae_training, "PIXELS", 12_000)


@pytest.fixture
def whole(clips, tmp_path, small_batches):
    """The state of a run that nothing interrupted."""
    train(VAETask(preset("nano").vae, ClipStore(clips), compile=False), CONFIG, tmp_path / "whole", say=lambda _: None)
    return state(tmp_path / "whole")


@pytest.mark.parametrize("moment", ["in a step", "while saving"])
def test_a_run_killed_without_warning_resumes_bit_for_bit(moment, clips, tmp_path, whole):
    out = tmp_path / "killed"
    code = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n{RUN}"
    killed = subprocess.run([sys.executable, "-c", code, moment, str(clips), str(out)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    said = []
    train(VAETask(preset("nano").vae, ClipStore(clips), compile=False), CONFIG, out, say=said.append)
    # Killed in step 5, or while saving the state of step 6: the last whole state is that of step 4.
    assert said[0] == "resuming at step 4 of 7"
    assert_equal_states(state(out), whole)


def interrupted(make, out, at):
    """Trains until an interruption in step `at`, then again to the end."""

    class StoppedError(Exception):
        pass

    task = make()
    loss = task.loss

    def until(step):
        if step == at:
            raise StoppedError
        return loss(step)

    task.loss = until
    with pytest.raises(StoppedError):
        train(task, CONFIG, out, say=lambda _: None)
    train(make(), CONFIG, out, say=lambda _: None)
    return state(out)


def test_the_text_encoder_resumes_bit_for_bit(tmp_path):
    def make():
        torch.manual_seed(torch.seed())  # nothing may depend on the global generator
        return TextTask(preset("nano").text, batch=8)

    train(make(), CONFIG, tmp_path / "whole", say=lambda _: None)
    assert_equal_states(interrupted(make, tmp_path / "cut", 3), state(tmp_path / "whole"))


def test_the_transformer_resumes_bit_for_bit(nano, clips, tmp_path):
    encode_store(nano.vae, ClipStore(clips), tmp_path / "latents", say=lambda _: None)
    shards = [LatentShard.load(path) for path in sorted((tmp_path / "latents").iterdir())]
    assert [shard.periodic for shard in shards] == [False, True]

    def make():
        torch.manual_seed(torch.seed())
        task = DiTTask(nano.config, shards, nano.text, nano.vae, tokens=120, compile=False)
        task.sheet = lambda path: None
        return task

    train(make(), CONFIG, tmp_path / "whole", say=lambda _: None)
    assert_equal_states(interrupted(make, tmp_path / "cut", 5), state(tmp_path / "whole"))
    with safe_open(tmp_path / "whole" / "state.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["about"])["tokens"] == 120  # what a model file's count is made of


def test_a_state_of_another_size_and_a_damaged_one_are_refused(clips, tmp_path, whole, small_batches):
    store = ClipStore(clips)
    mini = preset("nano").vae.__class__(encoder_width=(24, 32), decoder_width=(16, 32))
    with pytest.raises(ValueError, match="this configuration needs"):
        train(VAETask(mini, store, compile=False), CONFIG, tmp_path / "whole", say=lambda _: None)
    path = tmp_path / "whole" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"is damaged or no training state: .*; delete it to begin anew$"):
        train(VAETask(preset("nano").vae, store, compile=False), CONFIG, tmp_path / "whole", say=lambda _: None)
