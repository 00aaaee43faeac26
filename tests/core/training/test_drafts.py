"""Clips that a transformer draws from noise get nearer to what they were asked for, in a critic's eyes."""

import pytest
import torch

from sora_core.cli import main
from sora_core.data.latents import LatentShard
from sora_core.data.worlds.attributes import SHEET, Attributes
from sora_core.training.critic import Critic
from sora_core.training.dit import DiTTask
from sora_core.training.drafts import draft_weights, missed
from sora_core.training.reading import reading_labels

PAIR = Attributes(
    subject="ball", colour="red", environment="meadow", time="day", motion="left", camera="static",
    second_subject="cube", second_colour="blue", second_side="right",
)  # fmt: skip


class Answers:
    """A critic that gives the same logits for every clip."""

    def __init__(self, **sure):
        self.logits = [torch.zeros(len(values)) for values in SHEET.values()]
        for logits, (name, values) in zip(self.logits, SHEET.items(), strict=True):
            for value in sure.get(name, ()):
                logits[values.index(value)] = 50.0

    def __call__(self, noisy, sigma):
        return [logits.expand(len(noisy), -1) for logits in self.logits]


def missing(answers, mentioned, frames=3):
    labels = torch.tensor([reading_labels(PAIR, mentioned)])
    return float(missed(answers, torch.zeros(1, 4, frames, 4, 4), labels, torch.Generator().manual_seed(0))[0])


def test_only_what_was_asked_for_is_missed():
    seen = Answers(colour=["red"], motion=["right"])
    assert missing(seen, {"colour"}) == pytest.approx(0, abs=1e-4)
    assert missing(seen, {"colour", "motion"}) == pytest.approx(50, abs=0.1)
    assert missing(seen, {"motion"}, frames=1) == 0  # a still does not move


def test_a_second_toy_shall_be_on_one_side():
    said = {"second_subject"}
    one, both = (Answers(second_subject=["cube"], second_side=sides) for sides in (["left"], ["left", "right"]))
    assert missing(one, said) == pytest.approx(0, abs=1e-4)
    assert missing(both, said) == pytest.approx(0.693, abs=1e-3)
    assert missing(one, said | {"second_side"}) == pytest.approx(50, abs=0.1)


@pytest.fixture
def clips():
    draws = torch.Generator().manual_seed(0)
    latents = torch.randn(8, 2, 16, 2, 4, 4, generator=draws).half()
    labels = torch.tensor([PAIR.indices()] * 8, dtype=torch.uint8)
    return LatentShard(latents, latents[:, :, None, :, :1], labels, fps=8.0, periodic=False)


def test_a_transformer_learns_to_draw_what_is_asked_for(nano, clips):
    critic = Critic(16, width=16)
    critic.initialise(torch.Generator().manual_seed(0))
    critic = critic.requires_grad_(False)
    task = DiTTask(nano.config, [clips], nano.text, nano.vae, tokens=256, compile=False, critic=critic, drafts=0.5)
    task.dit.load_state_dict(nano.dit.state_dict())
    optimizer = torch.optim.Adam(task.dit.parameters(), lr=1e-3)
    seen = []
    for _ in range(6):
        drawn = task.missed(task.drafts, 0)
        seen.append(float(drawn.detach()))
        optimizer.zero_grad()
        drawn.backward()
        optimizer.step()
    assert 0 < seen[-1] < 0.9 * seen[0]
    assert task.loss(0)[1]["missed"] == pytest.approx(float(task.missed(task.drafts, 0).detach()))


def test_games_loops_and_written_captions_are_not_drawn(clips):
    from dataclasses import replace

    others = [replace(clips, world="arcade"), replace(clips, periodic=True), replace(clips, captions=(("a",),) * 8)]
    assert draft_weights([clips, *others]).bool().tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--drafts", "0.2"], "--drafts needs a --critic to read them; train one with: sora train critic"),
        (["--drafts", "2"], "--drafts is 2.0; it must be a share from 0 to 1, for instance 0.15"),
        (["--drafts", "0.2", "--critic", "c", "--shard"], "--drafts cannot be drawn by a model that --shard divides"),
    ],
)
def test_drafts_that_cannot_be_are_refused(options, sentence, tmp_path, capsys):
    assert main(["train", "dit", "--out", str(tmp_path / "run"), "--steps", "1", *options]) == 2
    assert sentence in capsys.readouterr().err
