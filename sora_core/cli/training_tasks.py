"""The tasks of `sora train`, what they begin with, and what is made of those that are not exported to a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ..config import SoraConfig
    from ..data.store import ClipStore
    from ..shapes import Compression
    from ..text.encoder import TextEncoder
    from ..training.loop import Task

PICTURES = 0.3
"""Share of single frames among the samples of the transformer, where nothing is said."""


def configuration(arguments: argparse.Namespace) -> SoraConfig:
    """That of the preset, if one is named, or of the model file to start from, or the bundled model's."""
    from ..checkpoint import read_checkpoint
    from ..config import preset

    if arguments.preset is None and arguments.init is not None and arguments.part in ("vae", "text", "dit"):
        return read_checkpoint(arguments.init).config
    return preset(arguments.preset or "mini")


def build_task(arguments: argparse.Namespace, device: torch.device | str = "cpu") -> Task:
    """The task of `sora train PART`, computing on `device`. Raises ValueError when its data are not given."""
    from ..training import parallel

    model = configuration(arguments)
    if arguments.part == "text":
        from ..training.text import RewordTask, TextTask

        if arguments.init is None:
            return TextTask(model.text, seed=arguments.seed, device=device)
        from ..pipeline import Sora
        from ..training.run_folder import pin_networks

        base = Sora.load(arguments.init, device=device)
        if base.config.text != model.text:
            raise ValueError(
                f"--preset {arguments.preset} has another text encoder than {arguments.init}; leave it out"
            )
        # What it is taught by must stay, also where the run goes on from its own weights.
        with parallel.process_0_first():
            teachers = {"text encoder": fingerprint(base.text), "refiner": fingerprint(base.dit.refiner)}
            pin_networks(arguments.out, teachers)
        return RewordTask(base, seed=arguments.seed)
    if arguments.data is None:
        raise ValueError(f"training the {arguments.part} needs --data DIR; make some with: sora worlds --out DIR")

    from ..data.store import pinned_store

    with parallel.process_0_first():
        store = pinned_store(arguments.data, arguments.out)
    if parallel.rank() == 0:
        remark_on_others(arguments.data, store)
    if arguments.part in ("dit", "critic"):
        return latent_task(arguments, model, store, device)
    if arguments.part == "captioner":
        from ..text.captioner import load_captioner
        from ..training.captioner import CaptionerTask

        words = None if arguments.init is None else load_captioner(arguments.init).config.words
        return CaptionerTask(store, seed=arguments.seed, words=words, device=device)
    if arguments.part == "judge":
        from ..training.export import trained_vae
        from ..training.judge import JudgeTask

        # A preset other than the bundled model's has a network only if it was trained.
        known = arguments.vae is not None or model.name == "mini"
        vae = trained_vae(model, arguments.vae) if known else None
        return JudgeTask(store, seed=arguments.seed, vae=vae, device=device)

    from ..pipeline import Sora
    from ..training.regenerated import Regenerator
    from ..training.vae import VAETask

    regenerate = None
    if arguments.regenerate is not None:
        regenerate = Regenerator(Sora.load(arguments.regenerate, device=device))
    return VAETask(
        model.vae, store, seed=arguments.seed, compile=arguments.compile, regenerate=regenerate,
        fresh=arguments.init is None, device=device,
    )  # fmt: skip


def remark_on_others(folder: Path, store: ClipStore) -> None:
    """Say how many shards came to a folder after a run had begun with the others."""
    from ..data.store import shards_in
    from . import say

    known = {shard.path for shard in store.shards}
    if others := [path.name for path in shards_in(folder) if path not in known]:
        count = f"{len(others)} shards" if len(others) > 1 else "a shard"
        say(
            f"{folder} holds {count} that this run did not begin with ({others[0]}{', ...' * (len(others) > 1)}) and"
            " goes on without; to train on all, begin another run"
        )


def latent_task(
    arguments: argparse.Namespace, model: SoraConfig, store: ClipStore, device: torch.device | str
) -> Task:  # fmt: skip
    """Encode the clips with the trained VAE, once, and train on their latents."""
    from ..data.latents import LatentShard, encode_store
    from ..data.mixture import check_shares
    from ..data.store import pin_captions
    from ..training import parallel
    from ..training.critic import CriticTask, load_critic
    from ..training.dit import DiTTask
    from ..training.export import trained_parts, trained_vae
    from ..training.judge import is_held_out
    from ..training.run_folder import pin_networks
    from . import say

    # What cannot be is refused before the clips are encoded.
    shares = world_shares(arguments.share or [])
    worlds = {shard.world for shard in store.shards}
    check_shares(worlds, shares)
    if "sandbox" not in worlds and (arguments.part == "critic" or arguments.drafts):
        raise ValueError(
            f"{arguments.data} holds no sandbox clips, all that a critic reads; make some with: sora worlds"
        )
    refuse_broken_cells(store, model.vae.compression, model.dit.patch[1] if arguments.part == "dit" else 1)
    with parallel.process_0_first():
        pin_captions(store, arguments.out)
    critic = None if arguments.critic is None else load_critic(arguments.critic, model.vae.channels)
    text: TextEncoder | None = None
    if arguments.part == "critic":
        vae = trained_vae(model, arguments.vae)
    else:
        vae, text = trained_parts(model, arguments.vae, arguments.text, arguments.init)
    encoder = fingerprint(vae.encoder)
    networks = {"compression network": encoder} | ({} if text is None else {"text encoder": fingerprint(text)})
    with parallel.process_0_first():
        pin_networks(arguments.out, networks)
    # Latents of another encoder must never be taken for this one's.
    latents = arguments.out / f"latents_{encoder}"
    encode_store(vae.to(device), store, latents, first=parallel.rank(), stride=parallel.world())
    parallel.wait_for_all()
    shards = [LatentShard.load(latents / shard.path.name, shard.captions()) for shard in store.shards]
    told = (caption for shard in shards for captions in shard.captions or () for caption in captions)
    if text is not None and parallel.rank() == 0 and (note := text.tokenizer().unread_note(told)):
        say(note)
    if text is None:
        held_out = [is_held_out(shard) for shard in store.shards]
        trained, kept = ([s for s, out in zip(shards, held_out, strict=True) if out is part] for part in (False, True))
        return CriticTask(trained, kept, channels=model.vae.channels, seed=arguments.seed, device=device)
    return DiTTask(
        model, shards, text, vae, seed=arguments.seed,
        pictures=PICTURES if arguments.pictures is None else arguments.pictures,
        shares=shares, compile=arguments.compile, device=device,
        shard=arguments.shard, critic=critic, drafts=arguments.drafts or 0.0,
    )  # fmt: skip


def refuse_broken_cells(store: ClipStore, cells: Compression, patch: int) -> None:
    """Raise ValueError naming the first shard whose clips are no whole latent cells, or patches of so many a side."""
    side = cells.space * patch
    for shard in store.shards:
        frames, height, width = shard.shape
        first = 0 if shard.about.get("periodic") else 1
        if (frames - first) % cells.time or height % side or width % side:
            raise ValueError(
                f"{shard.path.name} holds clips of {frames} frames of {width}x{height}, no whole latent cells and"
                f" patches: frames must be {'1 + ' if first else ''}a multiple of {cells.time} and sides multiples of"
                f" {side}; make others with: sora worlds --frames and --size"
            )


def world_shares(given: list[str]) -> dict[str, float]:
    """The shares of `--share WORLD=SHARE ...`. Raises ValueError for what is not one."""
    shares = {}
    for entry in given:
        world, _, share = entry.partition("=")
        try:
            shares[world] = float(share)
        except ValueError:
            raise ValueError(f"--share got {entry!r}; it must be a world and a number, as in painter=0.1") from None
    return shares


def fingerprint(module: nn.Module) -> str:
    """A short name of a network's weights."""
    import hashlib

    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def start_from(task: Task, part: str, path: Path) -> None:
    """Give the task's network the weights of a model file. Raises ValueError naming the first tensor that differs."""
    from ..checkpoint import check_weights, read_checkpoint
    from ..training.reading import Reading
    from ..training.sharding import fill

    if part == "judge":
        from ..evaluation.judge import load_judge

        task.module.load_state_dict(load_judge(path).state_dict())
        return
    if part == "captioner":
        from ..text.captioner import load_captioner

        weights = load_captioner(path).state_dict()
        check_weights(str(path), "", task.module.state_dict(), weights)
        task.module.load_state_dict(weights)
        return
    if part == "critic":
        from ..training.critic import Critic, load_critic

        assert isinstance(task.module, Critic)
        task.module.load_state_dict(load_critic(path, task.module.channels).state_dict())
        return
    inner = {"text": "encoder", "dit": "dit"}.get(part)
    module = task.module if inner is None else task.module[inner]  # type: ignore[index]
    weights, own = read_checkpoint(path).parts[part], module.state_dict()
    check_weights(str(path), "", own, weights)
    for name, value in own.items():
        fill(value, weights[name])
    if isinstance(task, Reading):
        task.fit_reader()


def finish_reader(task: Task, ema: dict[str, Tensor], path: Path, steps: int) -> None:
    """Write the averaged judge or critic and print how often it is right about held-out clips."""
    import json

    from ..evaluation.judge import save_judge
    from ..training.critic import CriticTask, save_critic
    from ..training.judge import JudgeTask
    from ..training.loop import averaged
    from . import say

    assert isinstance(task, JudgeTask | CriticTask)
    with averaged(task.module, ema):
        accuracy = task.accuracy()
        about: dict[str, object] = {"steps": steps, "accuracy": accuracy}
        if isinstance(task, JudgeTask):
            save_judge(path, task.module.state_dict(), json.dumps(about))
        else:
            save_critic(path, task.module, about)
    for name, share in accuracy.items():
        say(f"{name:<16} {share:.3f}")
    if not accuracy:
        say("no shard is kept away from training (every eleventh would be, from the eighth on): nothing is measured")
    print(path)


def finish_captioner(task: Task, ema: dict[str, Tensor], path: Path, steps: int) -> None:
    """Write the averaged captioner and print how much of held-out clips it tells, and how much of that is so."""
    from ..text.captioner import save_captioner
    from ..training.captioner import CaptionerTask
    from ..training.loop import averaged
    from . import say

    assert isinstance(task, CaptionerTask)
    with averaged(task.module, ema):
        score = task.accuracy()
        about = {"steps": steps, "recall": round(score.recall, 4), "precision": round(score.precision, 4)}
        save_captioner(path, task.module, about)
    say(f"recall {score.recall:.3f}, precision {score.precision:.3f}" if score.shown else "no held-out shard")
    print(path)


FINISHERS = {"judge": finish_reader, "critic": finish_reader, "captioner": finish_captioner}
"""What is done with the parts that are used on their own, not exported to a model."""
