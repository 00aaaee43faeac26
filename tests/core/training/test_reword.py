"""More words for a trained text encoder: what it knows is kept, and other words come to say the same."""

from dataclasses import replace

import pytest
import torch

from sora_core.checkpoint import read_checkpoint, save_checkpoint
from sora_core.cli import build_parser
from sora_core.cli.training_tasks import build_task, start_from
from sora_core.data.worlds.attributes import Attributes
from sora_core.data.worlds.captions import plainest
from sora_core.training.optimizer import build_optimizer
from sora_core.training.reading import UNKNOWN
from sora_core.training.text import RewordTask

PAIR = Attributes(
    subject="car", colour="red", environment="snow", time="day", motion="left", camera="orbit",
    second_subject="duck", second_colour="cyan",
)  # fmt: skip


def test_the_plainest_caption_states_what_is_mentioned_and_no_more():
    assert plainest(PAIR, {"subject", "colour", "camera"}, "en") == "A red car. The camera orbits."
    assert plainest(PAIR, {"subject", "colour", "time"}, "zh") == "一辆红色的汽车，白天。"
    said = {"subject", "colour", "environment", "motion", "second_subject", "second_colour"}
    assert plainest(PAIR, said, "en") == "A red car moves left in the snow, next to a cyan duck."
    beside = replace(PAIR, second_side="right")
    assert plainest(beside, said, "en") == "A red car moves left in the snow, next to a cyan duck."
    told = plainest(beside, said | {"second_side"}, "en")
    assert told == "A red car moves left in the snow, with a cyan duck to its right."


def test_what_is_said_of_other_worlds_stays_as_it_is(nano):
    texts, plain, _, _ = RewordTask(nano, batch=32).batch(0)
    kept = [text for text, words in zip(texts, plain, strict=True) if text == words]
    assert sum(text.lower().startswith("a game of") for text in kept) == 2
    assert len(kept) >= 8
    assert sum(text != words for text, words in zip(texts, plain, strict=True)) > 16


def test_a_training_begins_with_what_the_model_says(nano):
    task = RewordTask(nano, batch=8)
    _, figures, texts = task.loss(0)
    assert figures["kept"] < 1e-9
    assert texts == 8
    assert figures["reworded"] > 0


def test_the_states_tell_more_of_what_captions_name(nano):
    task = RewordTask(nano, batch=16)
    task.fit_reader(batches=2)
    before = task.loss(0)[1]["reading"]
    optimizer = build_optimizer(task.module.named_parameters(), 2e-3)
    for _ in range(12):
        task.loss(0)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert task.loss(0)[1]["reading"] < 0.97 * before
    assert (task.batch(0)[2] == UNKNOWN[0]).any(1).sum() == 4


def test_the_command_goes_on_from_a_model_by_rewording(nano, nano_file, tmp_path):
    command = ["train", "text", "--init", str(nano_file), "--out", str(tmp_path), "--steps", "1"]
    task = build_task(build_parser().parse_args(command))
    assert isinstance(task, RewordTask)
    start_from(task, "text", nano_file)
    assert task.batch(0)[:2] == RewordTask(nano).batch(0)[:2]
    assert task.loss(0)[1]["kept"] < 1e-9


def test_a_run_does_not_go_on_with_another_model_to_learn_from(nano_file, tmp_path):
    model = read_checkpoint(nano_file)
    for number, part in enumerate(("dit", "text")):
        name = next(name for name in model.parts[part] if part == "text" or name.startswith("refiner."))
        changed = {**model.parts[part], name: model.parts[part][name] + 1}
        other, run = tmp_path / f"{number}.safetensors", tmp_path / str(number)
        save_checkpoint(other, model.config, {**model.parts, part: changed})
        command = ["train", "text", "--out", str(run), "--steps", "1", "--init"]
        for _ in range(2):
            build_task(build_parser().parse_args([*command, str(nano_file)]))
        with pytest.raises(ValueError, match="is not the one that this run began with"):
            build_task(build_parser().parse_args([*command, str(other)]))


def test_a_preset_of_another_text_encoder_is_refused(nano_file, tmp_path):
    command = ["train", "text", "--init", str(nano_file), "--preset", "mini", "--out", str(tmp_path), "--steps", "1"]
    with pytest.raises(
        ValueError, match=r"--preset mini has another text encoder than .*nano.safetensors; leave it out"
    ):
        build_task(build_parser().parse_args(command))


def test_other_words_come_to_say_the_same(nano):
    task = RewordTask(nano, batch=32)
    teacher = {name: value.clone() for name, value in task.teacher.state_dict().items()}
    before = task.loss(1000)[1]
    optimizer = build_optimizer(task.module.named_parameters(), 2e-3)
    for step in range(40):
        task.loss(step)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    after = task.loss(1000)[1]
    assert after["reworded"] < 0.85 * before["reworded"]
    assert after["kept"] < 0.4 * after["reworded"]
    assert all(torch.equal(value, task.teacher.state_dict()[name]) for name, value in teacher.items())
