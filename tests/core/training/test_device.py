"""Training, sampling and compression on a card compute what they do on the processor, and never mix the two.

There may be no card where this runs, so one is made up: tensors whose device is another and whose numbers are on the
CPU all the same. Any operation that is given tensors of both devices fails, as it would on a real card.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from sora_core.cli import main
from sora_core.cli.device import chosen_device
from sora_core.config import preset
from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.store import ClipStore
from sora_core.diffusion.conditioning import Known
from sora_core.editing.final import final_video
from sora_core.editing.long_video import long_video
from sora_core.editing.regenerate import Sampling
from sora_core.evaluation.comparison import measure
from sora_core.evaluation.judge import load_judge, probabilities
from sora_core.pipeline import Sora
from sora_core.shapes import VideoShape
from sora_core.stored_latent import NAME, StoredLatent
from sora_core.tensor_files import save_tensors
from sora_core.text.captioner import describe, load_captioner
from sora_core.training import vae as vae_training
from sora_core.training.captioner import CaptionerTask
from sora_core.training.dit import DiTTask
from sora_core.training.judge import JudgeTask
from sora_core.training.loop import TrainConfig, train
from sora_core.training.regenerated import Regenerator
from sora_core.training.text import RewordTask, TextTask
from sora_core.training.vae import VAETask

CARD = torch.device("lazy")
"""A device that PyTorch knows and for which it has no kernels."""
CROSSING = ("copy_", "_to_copy", "_foreach_copy_")
"""Operations that may take tensors of two devices."""
CONFIG = TrainConfig(steps=2, warmup=1, save_every=1, report_every=1, sheet_every=100, lr=1e-3)
SHAPE = VideoShape(num_frames=9, height=32, width=48)


class OnCard(torch.Tensor):
    """A tensor that says that it is on the card."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, numbers):
        with torch.inference_mode(False):  # views of weights, which are no inference tensors, cannot be any either
            tensor = torch.Tensor._make_wrapper_subclass(
                cls, numbers.shape, strides=numbers.stride(), storage_offset=numbers.storage_offset(),
                dtype=numbers.dtype, device=CARD,
            )  # fmt: skip
        tensor.numbers = numbers
        return tensor

    def __getitem__(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        # PyTorch would make a tensor of a list without asking anybody.
        return super().__getitem__(tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts))

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


class Machine(TorchDispatchMode):
    """Within the block there is a card."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


def computed(operation, args, kwargs):
    """The operation's result, on the device where it would be; refuses what no machine would compute."""
    if operation.namespace == "sora":  # as the card would see it, for it is made of other operations
        return torch._library.custom_ops.OPDEFS[operation.name().partition(".")[0]]._init_fn(*args, **kwargs)
    with Machine():
        parts = operation.decompose(*args, **kwargs)
    if parts is not NotImplemented:
        return parts
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in given if isinstance(tensor, OnCard)]
    name = operation.overloadpacket.__name__
    checked = args[:1] if name in ("index", "index_put", "index_put_") and there == given[:1] else (args, kwargs)
    here = [t for t in tree_leaves(checked) if isinstance(t, torch.Tensor) and not isinstance(t, OnCard) and t.ndim]
    if there and here and name not in CROSSING:
        raise AssertionError(f"{operation} is given tensors of two devices")
    device = torch.device(kwargs.get("device") or (CARD if there else "cpu"))
    if "device" in kwargs:
        kwargs = kwargs | {"device": torch.device("cpu")}
    known = {id(tensor.numbers if isinstance(tensor, OnCard) else tensor): tensor for tensor in given}
    result = operation(*tree_map_only(OnCard, numbers, args), **tree_map_only(OnCard, numbers, kwargs))

    def placed(tensor):
        return known.get(id(tensor)) if id(tensor) in known else OnCard(tensor) if device == CARD else tensor

    return tree_map_only(torch.Tensor, placed, result)


def numbers(tensor):
    return tensor.numbers


@pytest.fixture
def same_products(monkeypatch):
    """Both devices multiply in float32, whatever this processor has."""
    for module in ("precision", "optimizer"):
        monkeypatch.setattr(f"sora_core.training.{module}.has_bfloat16", lambda device: False)


def on_both(make):
    """What `make(device)` gives on the processor and on the card."""
    here = make(torch.device("cpu"))
    with Machine():
        return here, make(CARD)


def assert_close(a, b):
    assert not isinstance(a, OnCard)
    assert not isinstance(b, OnCard)
    assert (a - b).norm() <= 0.01 * a.norm() + 1e-5


def test_the_made_up_card_refuses_to_mix():
    with Machine():
        a, b = torch.ones(2).to(CARD), torch.ones(2)
        assert (a + 1 + torch.tensor(1.0)).sum().item() == 6
        with pytest.raises(AssertionError, match=r"add\..* is given tensors of two devices"):
            a + b
        with pytest.raises(AssertionError, match="two devices"):
            a.index_select(0, torch.tensor([0]))
        assert a[torch.tensor([0])].device == CARD
        with pytest.raises(AssertionError, match="two devices"):
            b[torch.tensor([0]).to(CARD)]


def vae_task(device, request):
    return VAETask(preset("nano").vae, ClipStore(request.getfixturevalue("clips")), compile=False, device=device)


def regenerating_vae_task(device, request):
    sora = Sora.load(request.getfixturevalue("nano_file"), device=device)
    store = ClipStore(request.getfixturevalue("clips"))
    task = VAETask(
        preset("nano").vae, store, compile=False, device=device, regenerate=Regenerator(sora), fresh=False
    )  # fmt: skip
    task.module.load_state_dict(sora.vae.state_dict())
    return task


def text_task(device, request):
    return TextTask(preset("nano").text, batch=8, device=device)


def reword_task(device, request):
    return RewordTask(Sora.load(request.getfixturevalue("nano_file"), device=device), batch=8)


def dit_task(device, request):
    folder = request.getfixturevalue("tmp_path") / f"latents_{device}"
    sora = Sora.load(request.getfixturevalue("nano_file"), device=device)
    encode_store(sora.vae, ClipStore(request.getfixturevalue("clips")), folder, say=lambda _: None)
    shards = [LatentShard.load(path) for path in sorted(folder.iterdir())]
    task = DiTTask(sora.config, shards, sora.text, sora.vae, tokens=400, compile=False, device=device)
    task.fit_reader(batches=1)
    return task


def judge_task(device, request):
    vae = Sora.load(request.getfixturevalue("nano_file")).vae
    task = JudgeTask(request.getfixturevalue("store"), clips=4, images=4, vae=vae, device=device)
    for step in (14, 21):  # one of them is rebuilt by the compression network, and one blurred
        assert torch.isfinite(task.loss(step)[0])
    return task


def captioner_task(device, request):
    task = CaptionerTask(request.getfixturevalue("store"), device=device)
    task.clips.clips = task.clips.images = 4
    return task


TASKS = (vae_task, regenerating_vae_task, text_task, reword_task, dit_task, judge_task, captioner_task)


@pytest.mark.parametrize("make", TASKS)
def test_a_part_is_trained_on_a_card_as_on_the_processor(make, request, tmp_path, same_products, monkeypatch):
    monkeypatch.setattr(vae_training, "PIXELS", 12_000)
    monkeypatch.setattr("sora_core.training.dit.PROMPTS", ("a red ball",))
    monkeypatch.setattr("sora_core.training.captioner.MOST_WORDS", 8)
    monkeypatch.setattr("sora_core.text.captioner.MOST_WORDS", 8)

    def trained(device):
        task = make(device, request)
        assert {p.device for p in task.module.parameters()} == {device}
        train(task, CONFIG, tmp_path / str(device), say=lambda _: None)
        return load_file(tmp_path / str(device) / "state.safetensors")

    here, there = on_both(trained)
    assert here.keys() == there.keys()
    for name, value in here.items():
        assert_close(value, there[name])
    assert any(name.startswith("optimizer") for name in here)


def test_a_state_goes_on_on_another_device(request, tmp_path, same_products, monkeypatch):
    longer = TrainConfig(**vars(CONFIG) | {"steps": 4})

    def run(first, second):
        out = tmp_path / f"{first}_{second}"
        for device, config in ((first, CONFIG), (second, longer)):
            with Machine():
                train(text_task(device, request), config, out, say=lambda _: None)
        return load_file(out / "state.safetensors")

    cpu = torch.device("cpu")
    expected = run(cpu, cpu)
    for found in (run(cpu, CARD), run(CARD, cpu)):
        for name, value in expected.items():
            assert_close(value, found[name])


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_a_video_is_sampled_on_a_card_as_on_the_processor(sampler, nano_file):
    prompts, seeds = ["a red ball", "雪人"], [3, 4]
    clean, mask = torch.randn(2, 16, 3, 4, 6, generator=torch.Generator().manual_seed(1)), torch.ones(2, 1, 3, 4, 6)
    mask[:, :, 0] = 0

    def made(device):
        sora = Sora.load(nano_file, device=device)
        free = sora.sample(prompts, SHAPE, seeds, steps=3, sampler=sampler)
        given = sora.sample(prompts, SHAPE, seeds, steps=2, sampler=sampler, known=Known(clean, mask), rescale=0.5)
        return free, given, sora.frames(given), sora.frames(given, circular=True)

    for a, b in zip(*on_both(made), strict=True):
        assert_close(a, b)


def test_a_video_is_encoded_and_decoded_on_a_card_as_on_the_processor(nano_file, tmp_path):
    video = torch.rand(1, 3, 9, 32, 48, generator=torch.Generator().manual_seed(1))

    def coded(device):
        sora = Sora.load(nano_file, device=device)
        latent = sora.encode(video)
        path = tmp_path / f"{device}.safetensors"
        save_tensors({NAME: latent}, path, {})
        streams = [torch.cat(list(sora.decode(x, SHAPE, 1)), dim=1) for x in (latent, StoredLatent(path))]
        return latent, *streams, sora.frames(latent)

    for a, b in zip(*on_both(coded), strict=True):
        assert_close(a, b)


def test_long_and_finished_videos_are_made_on_a_card_as_on_the_processor(nano_file):
    preview = torch.rand(9, 16, 24, 3, generator=torch.Generator().manual_seed(1))
    settings = {"window": 0.7, "overlap": 0.4, "sampling": Sampling(steps=2)}

    def made(device):
        sora = Sora.load(nano_file, device=device)
        latent = long_video(sora, "a red ball", SHAPE, 1, tile=4, **settings)
        finished = final_video(sora, [preview], "a red ball", SHAPE, 1, tile=4, **settings)
        return latent, torch.cat(list(finished))

    for a, b in zip(*on_both(made), strict=True):
        assert_close(a, b)


def test_judge_and_captioner_look_from_a_card_as_from_the_processor(monkeypatch):
    captioners = [load_captioner(), load_captioner()]
    monkeypatch.setattr("sora_core.text.captioner.MOST_WORDS", 8)
    video = torch.rand(2, 3, 9, 64, 64, generator=torch.Generator().manual_seed(1))

    def seen(device):
        told = describe(captioners.pop().to(device), video, 8.0)
        return probabilities(load_judge().to(device), video, 8.0), told

    here, there = on_both(seen)
    for a, b in zip(here[0], there[0], strict=True):
        assert_close(a, b)
    assert here[1] == there[1]


def test_a_video_on_a_card_is_compared_with_one_on_file(monkeypatch):
    monkeypatch.setattr("sora_core.evaluation.comparison.ssim", lambda a, b: float((a - b).abs().mean()))
    made, file = torch.rand(2, 3, 8, 8, 3, generator=torch.Generator().manual_seed(1))
    found, here = on_both(lambda device: measure([made.to(device)], [file]).likeness.psnr)
    assert found == pytest.approx(here)


@pytest.fixture
def two_cards(monkeypatch):
    """PyTorch sees two cards."""
    for name, value in (("is_available", True), ("current_accelerator", torch.device("cuda")), ("device_count", 2)):
        monkeypatch.setattr(torch.accelerator, name, lambda value=value: value)


def test_a_card_is_the_default_where_there_is_one(two_cards):
    assert [str(chosen_device(name)) for name in (None, "cpu", "cuda:1")] == ["cuda:0", "cpu", "cuda:1"]
    assert [str(chosen_device(name, 1)) for name in (None, "cpu", "cuda")] == ["cuda:1", "cpu", "cuda:1"]


def test_without_a_card_the_processor_is_the_default(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert chosen_device(None) == chosen_device(None, 3) == torch.device("cpu")
    with pytest.raises(ValueError, match="--device is cuda, but PyTorch sees cpu here; choose one of these"):
        chosen_device("cuda")


@pytest.mark.parametrize(
    ("name", "process", "sentence"),
    [
        ("cuda:2", None, "--device is cuda:2, but PyTorch sees cpu, cuda:0, cuda:1 here; choose one of these"),
        ("gpu", None, "--device is gpu, but PyTorch sees cpu, cuda:0, cuda:1 here"),
        (None, 2, "--device is cuda:2, but PyTorch sees cpu, cuda:0, cuda:1 here"),
        ("cuda:0", 1, "--device is cuda:0, but each process of torchrun takes a card of its own; give cuda"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(name, process, sentence, two_cards):
    with pytest.raises(ValueError, match=sentence) as caught:
        chosen_device(name, process)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "a", "--out", "a.png"], ["finish", "a.mp4", "a"], ["evaluate", "--out", "a.json"],
        ["train", "text", "--out", "run", "--steps", "1"],
    ],
)  # fmt: skip
def test_every_command_that_computes_asks_for_the_device_first(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--device", "abacus"]) == 2
    assert "--device is abacus, but PyTorch sees cpu" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
