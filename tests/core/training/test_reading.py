"""The reader: what it is asked, what it is not, and that the transformer's text tokens keep what it asks for."""

import pytest
import torch

from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.store import ClipStore
from sora_core.data.worlds.attributes import SHEET, Attributes
from sora_core.pipeline import Sora
from sora_core.training.dit import DiTTask
from sora_core.training.optimizer import build_optimizer
from sora_core.training.reading import UNKNOWN, Reading, reading_labels, reading_loss


def test_labels_say_what_is_named_and_which_value():
    car = Attributes(subject="car", colour="red", environment="snow", time="day", motion="left", camera="static")
    labels = dict(zip(SHEET, reading_labels(car, {"subject", "motion", "occluder"}), strict=True))
    assert labels == {
        "subject": 1 + 4, "motion": 1 + 1, "occluder": 1 + 0,
        "colour": 0, "environment": 0, "time": 0, "camera": 0, "second_subject": 0, "second_colour": 0,
        "second_side": 0,
    }  # fmt: skip


def test_words_about_other_worlds_are_not_asked():
    draws = torch.Generator().manual_seed(0)
    answers = [torch.randn(3, 1 + len(v), generator=draws, requires_grad=True) for v in SHEET.values()]
    labels = torch.tensor([[1] * len(SHEET), UNKNOWN, [0] * len(SHEET)])
    with_others = reading_loss(answers, labels)
    assert with_others.item() == pytest.approx(reading_loss([a[::2] for a in answers], labels[::2]).item())
    none = reading_loss(answers, torch.tensor([UNKNOWN] * 3))
    none.backward()
    assert none.item() == 0
    assert all(not a.grad.any() for a in answers)


def test_text_tokens_learn_to_tell_what_captions_name(nano, clips, tmp_path):
    encode_store(nano.vae, ClipStore(clips), tmp_path, say=lambda _: None)
    shards = [LatentShard.load(path) for path in sorted(tmp_path.iterdir())]
    task = DiTTask(nano.config, shards, nano.text, nano.vae, tokens=400, compile=False)
    optimizer = build_optimizer(task.module.named_parameters(), 3e-3)
    readings = []
    for step in range(40):
        loss, figures, _ = task.loss(step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        readings.append(figures["reading"])
    assert sum(readings[-10:]) < 0.8 * sum(readings[:10])


def test_a_training_that_goes_on_begins_with_a_reader_that_can_read():
    sora = Sora.load()
    clips = torch.zeros(2, 2, sora.config.vae.channels, 1, 4, 4)
    shard = LatentShard(clips, clips[:, :, None], torch.zeros(2, 9, dtype=torch.uint8), fps=8.0, periodic=False)
    task = DiTTask(sora.config, [shard], sora.text, sora.vae, tokens=128, compile=False)
    assert isinstance(task, Reading)
    task.dit.load_state_dict(sora.dit.state_dict())
    fresh = sum(task.loss(step)[1]["reading"] for step in range(8))
    task.fit_reader(batches=24)
    assert sum(task.loss(step)[1]["reading"] for step in range(8)) < 0.25 * fresh
