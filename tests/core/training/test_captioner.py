"""The captioner is trained on the judge's batches with captions of both languages, and a run leaves a file."""

from __future__ import annotations

import torch

from sora_core.cli import main
from sora_core.text.captioner import BUNDLED, SPECIAL, load_captioner
from sora_core.training.captioner import LOOKS, CaptionerTask


def test_it_learns_to_tell_and_leaves_the_eyes_as_they_are(store):
    task = CaptionerTask(store)
    task.clips.clips = task.clips.images = 4
    eyes = task.module.eyes.heads[0].weight.clone()
    parameters = [p for p in task.module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    losses = []
    for step in range(24):
        loss, figures, samples = task.loss(step % 2)
        assert samples > 0
        assert 0 <= figures["words"] <= 1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    assert torch.equal(eyes, task.module.eyes.heads[0].weight)


def test_batches_come_again_with_other_words(store):
    task = CaptionerTask(store)
    seen, labels, still = task.look(1)
    assert still
    assert task.look(1)[0] is seen
    first, again = (task.told(labels, still, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert first.shape != again.shape or not torch.equal(first, again)
    starts = {SPECIAL[i] for i in first[:, 0].tolist()}
    assert starts == {"<en still>", "<zh still>"}
    assert float(task.loss(1)[0].detach()) != float(task.loss(1 + LOOKS)[0].detach())


def test_the_command_trains_one_that_can_be_loaded_and_gone_on_with(store, tmp_path, capsys, monkeypatch):
    # An untrained captioner does not know when to end.
    monkeypatch.setattr("sora_core.text.captioner.MOST_WORDS", 8)
    monkeypatch.setattr("sora_core.training.captioner.MOST_WORDS", 8)
    monkeypatch.setattr("sora_core.training.captioner.HELD_OUT", 1)
    run = tmp_path / "run"
    command = ["train", "captioner", "--data", str(store.shards[0].path.parent), "--out", str(run), "--steps", "1"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(run / "captioner.safetensors")
    assert "recall" in said.err
    assert len((run / "sheet_0000001.txt").read_text(encoding="utf-8").splitlines()) == 8
    trained = load_captioner(run / "captioner.safetensors")
    assert trained.config.words[: len(SPECIAL)] == SPECIAL


def test_one_is_gone_on_with_in_its_own_words_even_without_clips_to_measure_on(store, tmp_path, capsys):
    store.shards[1].path.unlink()  # the one that is kept away from training
    command = ["train", "captioner", "--data", str(store.shards[0].path.parent), "--out", str(tmp_path / "run")]
    assert main([*command, "--steps", "1", "--init", str(BUNDLED)]) == 0
    assert "no held-out shard" in capsys.readouterr().err
    more = load_captioner(tmp_path / "run" / "captioner.safetensors")
    assert more.config.words == load_captioner().config.words
