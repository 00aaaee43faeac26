"""Sora Train Model: clips in the canvas become a model file that knows them, however often the run is cut off.

What is learnt, and what a cut does to it, is tried on the bundled model; the rest on one that trains in no time.
"""

import math
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from sora_core.checkpoint import BUNDLED, read_checkpoint
from sora_core.data.pieces import Piece, encode_pieces
from sora_core.data.worlds.filming import film, scene_for
from sora_core.pipeline import Sora
from sora_core.randomness import generator
from sora_core.training.dit import DiTTask
from sora_core.training.further import Further, further_task
from sora_core.training.parallel import batch_number
from sora_core.video import VideoWriter

pytestmark = pytest.mark.timeout(900)
MINI, NANO = "sora-mini (bundled)", "nano.safetensors"
LEARNT = {"checkpoint": MINI, "steps": 4, "learning_rate": 3e-3}
CAPTIONS = ["a red ball bounces", "一辆蓝色的汽车"]


@pytest.fixture(scope="module")
def clips():
    """Two rendered clips `t h w 3` in [0, 1] of 5 frames, 48x32 pixels."""
    made = []
    for seed in (1, 2):
        scene = scene_for("sandbox", generator(seed, "train"), None, seconds=0.625, loop=False)
        made.append(torch.cat([part.frames for part in film(scene, 5, 32, 48, 8.0)]).float() / 255)
    return made


@pytest.fixture(scope="module")
def train(run, clips):
    """The block as the executor calls it, every input a list."""

    def call(**asked):
        settings = {
            "checkpoint": NANO, "clips": clips, "captions": CAPTIONS, "steps": 2, "learning_rate": 1e-3, "seed": 3,
            "name": "my model", "fps": 8.0, "side": 128, "seconds": 2.0, "pictures": 0.3, "blend": 1.0,
        }  # fmt: skip
        changed = {name: value if isinstance(value, list) else [value] for name, value in (settings | asked).items()}
        return run("SoraTrain", **changed)

    return call


@pytest.fixture(scope="module")
def saved(comfy):
    """The folder of saved models."""
    import folder_paths

    return Path(folder_paths.get_output_directory()) / "sora"


@pytest.fixture
def runs(saved):
    """What lies in the folder of unfinished trainings."""

    def found():
        return sorted((saved.parent / "sora_unfinished").glob("train_*"))

    for path in found():
        shutil.rmtree(path)  # what failures in other tests rightly kept
    return found


@pytest.fixture(scope="module")
def trained(train):
    return train(name="trained", **LEARNT)


def weights(path):
    return read_checkpoint(path).parts["dit"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def error_on(model, clips):
    """The loss of a model file on clips, over noise that no training drew."""
    sora = Sora.load(model)
    pieces = [Piece((clip * 255).byte(), caption) for clip, caption in zip(clips, CAPTIONS, strict=True)]
    shards = list(encode_pieces(sora.vae, pieces, 8.0))
    task = further_task(sora, shards, Further(steps=1, lr=1e-3, seed=99, pictures=0.0))
    with torch.no_grad():
        return sum(float(task.loss(number)[0]) for number in range(8)) / 8


def test_what_was_trained_is_known_better(trained, saved, clips):
    assert error_on(saved / trained[3], clips) < 0.9 * error_on(BUNDLED, clips)


def test_the_new_model_is_listed_and_generates(run, comfy, trained, saved):
    model, clip, vae, name, report = trained
    assert name == "trained.safetensors"
    assert name in comfy.NODE_CLASS_MAPPINGS["SoraLoadModel"].INPUT_TYPES()["required"]["checkpoint"][1]["options"]
    losses = re.match(r"trained\.safetensors: loss ([\d.]+) before, ([\d.]+) after\n", report)
    assert float(losses[2]) < float(losses[1])
    assert "4 steps on 2 pieces of 2 clips in " in report
    prompts = run("SoraTextEncode", clip=clip, prompt=CAPTIONS[0], negative="")
    grid = run("SoraNoiseGrid", vae=vae, width=48, height=32, seconds=0.625)[0]
    sampled = {"positive": prompts[0], "negative": prompts[1], "latent": grid, "seed": 1, "steps": 2}
    made, other = (
        run("SoraSampler", model=each, **sampled)[0]["samples"]
        for each in (model, run("SoraLoadModel", checkpoint=MINI)[0])
    )
    assert made.isfinite().all()
    assert (made - other).abs().max() > 0.1
    again = run("SoraLoadModel", checkpoint=name)[0]
    assert torch.equal(run("SoraSampler", model=again, **sampled)[0]["samples"], made)


def test_only_the_transformer_is_trained(trained, saved):
    before, after = read_checkpoint(BUNDLED), read_checkpoint(saved / trained[3])
    assert after.config == before.config
    assert not same(after.parts["dit"], before.parts["dit"])
    assert all(same(after.parts[part], before.parts[part]) for part in ("vae", "text"))
    assert "then 4 steps" in after.metadata["about"]


def test_a_cancelled_training_goes_on_bit_for_bit(train, trained, saved, runs, monkeypatch):
    import comfy.model_management as management
    import comfy.utils

    def heard(*_, **__):
        """What a server's progress bar does first."""
        management.throw_exception_if_processing_interrupted()

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", heard)
    steps, loss = [], DiTTask.loss

    def counted(task, number):
        if number < batch_number(0, 1):  # what is compared before and after is of other numbers
            steps.append(number)
            if len(steps) == 2:
                management.interrupt_current_processing()
        return loss(task, number)

    monkeypatch.setattr(DiTTask, "loss", counted)
    with pytest.raises(management.InterruptProcessingException):
        train(name="cut off", **LEARNT)
    assert not (saved / "cut off.safetensors").exists()
    (kept,) = runs()
    assert (kept / "state.safetensors").exists()
    found = saved / train(name="cut off", **LEARNT)[3]
    assert steps == [0, 1, 2, 3]
    assert same(weights(found), weights(saved / trained[3]))
    assert runs() == []


def test_another_run_does_not_go_on_from_what_was_cut_off(pack, clips):
    run_folder = sys.modules[f"{pack.__name__}.nodes.train"].run_folder
    sora, how = Sora.load(BUNDLED), {"steps": 6, "lr": 1e-3, "seed": 3, "pictures": 0.3}
    pieces = [Piece((clip * 255).byte(), caption) for clip, caption in zip(clips, CAPTIONS, strict=True)]

    def name(sora=sora, pieces=pieces, fps=8.0, **changes):
        return run_folder(sora, pieces, Further(**how | changes), fps).name

    others = [name(**{key: value * 2}) for key, value in how.items()]
    others += [name(fps=12.0), name(pieces=pieces[:1]), name(pieces=[Piece(p.frames, "") for p in pieces])]
    others.append(name(pieces=[Piece(p.frames + 1, p.caption) for p in pieces]))
    with torch.no_grad():
        next(sora.dit.parameters()).add_(1)
    others.append(name())
    assert len({name(sora=Sora.load(BUNDLED)), *others}) == 1 + len(others)


def test_captions_reach_their_clips(train, saved):
    files = [
        saved / train(name="told", captions=texts)[3] for texts in (CAPTIONS, "\n".join(CAPTIONS), CAPTIONS[::-1], "")
    ]
    first, lines, swapped, untold = map(weights, files)
    assert same(first, lines)
    assert not same(first, swapped)
    assert not same(first, untold)


def test_a_caption_that_is_not_read_to_its_end_is_told(train):
    report = train(captions=[*CAPTIONS[:1], "字" * 65])[4]
    assert report.endswith("\na caption is longer than 64 words; what comes after these is not read")
    assert "not read" not in train(captions=[*CAPTIONS[:1], "字" * 64])[4]


def test_nothing_is_overwritten(train, saved, models):
    (models / "taken.safetensors").write_bytes(b"of somebody")
    (saved / "taken 2.safetensors").write_bytes(b"of somebody else")
    assert train(name=" taken.safetensors ")[3] == "taken 3.safetensors"
    assert (saved / "taken 2.safetensors").read_bytes() == b"of somebody else"
    for path in (models / "taken.safetensors", saved / "taken 2.safetensors"):
        path.unlink()


def test_blend_keeps_a_share_of_the_first_model(train, saved, models):
    start = weights(models / NANO)
    whole, half = (weights(saved / train(name="blend", blend=share)[3]) for share in (1.0, 0.5))
    name = "blocks.0.qkv.weight"
    change, part = (found[name].float() - start[name].float() for found in (whole, half))
    torch.testing.assert_close(part, change / 2, atol=2e-4, rtol=0)
    assert change.abs().max() > 1e-3


def test_clips_of_any_kind_and_size_are_seen_as_they_are(pack, clips, tmp_path, comfy):
    from comfy_api.latest import InputImpl

    pieces_in = sys.modules[f"{pack.__name__}.nodes.train"].pieces_in
    with VideoWriter(tmp_path / "a.mp4", 320, 180, 24) as writer:
        writer.write(torch.rand(51, 180, 320, 3, generator=torch.Generator().manual_seed(0)))
    video = InputImpl.VideoFromFile(str(tmp_path / "a.mp4"))
    grey, picture = clips[0].mean(-1, keepdim=True), torch.cat([clips[1][:1], torch.ones(1, 32, 48, 1)], dim=-1)
    sora = Sora.load(BUNDLED)
    pieces = pieces_in([video, clips[0], grey, picture], ["a", "b", "c", ""], sora, 8.0, 64, 2.0)
    assert [(tuple(piece.frames.shape), piece.caption) for piece in pieces] == [
        ((17, 64, 112, 3), "a"), ((5, 32, 48, 3), "b"), ((5, 32, 48, 3), "c"), ((1, 32, 48, 3), ""),
    ]  # fmt: skip
    assert torch.equal(pieces[1].frames, (clips[0] * 255).round().byte())
    assert torch.equal(pieces[3].frames, (clips[1][:1] * 255).round().byte())


def test_pictures_alone_can_be_trained_on(train, clips):
    assert "2 steps on 2 pieces of 2 clips" in train(clips=[clip[:1] for clip in clips])[4]


REFUSED = {
    "fewer captions": ({"captions": ["a", "b", "c"]}, "there are 3 captions for 2 clips; give one for each clip"),
    "more lines": ({"captions": "a\nb\n\nc"}, "there are 3 captions for 2 clips"),
    "no clip": ({"clips": []}, "there are 2 captions for 0 clips"),
    "no frames": ({"clips": [torch.zeros(5, 16, 16, 3), torch.zeros(0, 16, 16, 3)]}, "clip 2: it holds no frames"),
    "no pixels": ({"clips": [torch.zeros(5, 0, 0, 3)] * 2}, "clip 1: its frames are 0x0 pixels"),
    "too small": ({"clips": [torch.zeros(5, 8, 40, 3)] * 2}, "clip 1: its frames are 40x8 pixels; the smallest"),
    "NaN": ({"clips": [torch.full((5, 16, 16, 3), math.nan)] * 2}, "clip 1: its frames hold NaN"),
    "a folder": ({"name": "../mine"}, 'a file cannot be called "../mine"; give a name of at most 120'),
    "no name": ({"name": " .safetensors"}, 'a file cannot be called ".safetensors"'),
    "a hidden file": ({"name": ".mine"}, "a file cannot be called"),
    "a long name": ({"name": "字" * 70}, 'a file cannot be called "字字'),
    "a name of two lines": ({"name": "a\nb"}, "a file cannot be called"),
    "no rate": ({"learning_rate": math.nan}, "the learning rate is nan; it must be above 0"),
    "no model": ({"checkpoint": "gone.safetensors"}, "there is no model gone.safetensors"),
    "endless pieces": ({"seconds": math.inf}, "clip 1: seconds is inf"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_on_is_refused_in_one_sentence(train, runs, case):
    changes, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence) as caught:
        train(**changes)
    assert "\n" not in str(caught.value)
    assert runs() == []


@pytest.mark.parametrize("place", ["sora", "sora_unfinished"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(train, saved, tmp_path, monkeypatch, place):
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    monkeypatch.setattr(Sora, "load", None)  # what comes first of the work
    (tmp_path / place).write_bytes(b"no folder")
    with pytest.raises(ValueError, match=rf"{place}.* cannot be written: .*choose another folder"):
        train()


def test_other_models_leave_the_card_before_the_work(train, run, monkeypatch):
    import comfy.model_management as management

    patcher = run("SoraLoadModel", checkpoint=NANO)[2].patcher
    management.load_models_gpu([patcher])

    def there():
        return any(loaded.model is patcher for loaded in management.current_loaded_models)

    assert there()

    def load(*_, **__):
        assert not there()
        raise InterruptedError  # the rest of the work is not wanted

    monkeypatch.setattr(Sora, "load", load)
    with pytest.raises(InterruptedError):
        train()


def test_a_training_that_diverges_says_so_and_leaves_nothing(train, runs, monkeypatch):
    loss = DiTTask.loss

    def broken(task, number):
        found, *rest = loss(task, number)
        return (found * math.inf if number == 1 else found), *rest

    monkeypatch.setattr(DiTTask, "loss", broken)
    with pytest.raises(ValueError, match=r"the loss is inf after 2 steps: a learning rate of 0\.001 is too high"):
        train()
    assert runs() == []


def test_a_loss_that_rose_is_told(pack):
    described = sys.modules[f"{pack.__name__}.nodes.train"].described
    how = Further(steps=5, lr=0.1, seed=0, pictures=0.3)
    for losses, told in (((1.0, 2.0), True), ((2.0, 1.0), False)):
        assert ("it rose: a lower learning rate" in described(losses, how, [None], 1, 3.0)) is told


def test_a_request_to_stop_is_heard_while_clips_are_read(train, runs, asked_to_stop):
    with pytest.raises(asked_to_stop):
        train()
    assert runs() == []
