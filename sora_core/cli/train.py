"""Train a part of a model; an interrupted run continues bit for bit when it is started again.

examples:
  sora worlds --out data/sandbox --shards 40
  sora train vae  --data data/sandbox --out runs/vae  --steps 30000
  sora train text --out runs/text --steps 10000
  sora train dit  --data data/sandbox --vae runs/vae --text runs/text --out runs/dit --steps 100000
  sora train dit  --data data/sandbox --out runs/dit --steps 100000     (on the parts of the bundled model)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from ..config import SoraConfig
    from ..data.store import ClipStore
    from ..training.loop import Task

RATES = {"vae": 1e-3, "text": 1e-3, "dit": 1e-3}
"""Peak learning rates that worked for the shipped model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("part", choices=tuple(RATES), help="compression network, text encoder or transformer")
    parser.add_argument("--data", type=Path, metavar="DIR", help="shards of clips, as `sora worlds` makes them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run: state, log, contact sheets")
    parser.add_argument("--steps", type=int, required=True, metavar="N", help="length of the whole run")
    parser.add_argument("--vae", type=Path, metavar="RUN", help="for dit: folder of the vae training")
    parser.add_argument("--text", type=Path, metavar="RUN", help="for dit: folder of the text training")
    parser.add_argument("--preset", default="mini", metavar="NAME", help="nano, mini, S, B, L, XL, XXL (default: mini)")
    parser.add_argument("--lr", type=float, metavar="RATE", help="peak learning rate (default: 1e-3)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument("--save-every", type=int, default=200, metavar="N", help="steps (default: 200)")
    parser.add_argument("--report-every", type=int, default=20, metavar="N", help="steps (default: 20)")
    parser.add_argument("--sheet-every", type=int, default=1000, metavar="N", help="steps (default: 1000)")
    parser.add_argument(
        "--compile", action="store_true",
        help="faster steps (1.45x on a CPU) after a minute or two for each size; needs a C++ compiler",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> None:
    """Build the task and train it to the end."""
    for name in ("steps", "save_every", "report_every", "sheet_every"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; it must be at least 1")
    lr = RATES[arguments.part] if arguments.lr is None else arguments.lr
    if not 0 < lr <= 1:
        raise ValueError(f"--lr is {lr}; it must be above 0 and at most 1, for instance 0.001")

    from ..training.loop import TrainConfig, train

    config = TrainConfig(
        steps=arguments.steps, lr=lr, save_every=arguments.save_every, report_every=arguments.report_every,
        sheet_every=arguments.sheet_every,
    )  # fmt: skip
    train(build_task(arguments), config, arguments.out)


def build_task(arguments: argparse.Namespace) -> Task:
    """The task of `sora train PART`. Raises ValueError when its data are not given."""
    from ..config import preset

    model = preset(arguments.preset)
    if arguments.part == "text":
        from ..training.text import TextTask

        return TextTask(model.text, seed=arguments.seed)
    if arguments.data is None:
        raise ValueError(f"training the {arguments.part} needs --data DIR; make some with: sora worlds --out DIR")

    from ..data.store import pinned_store

    store = pinned_store(arguments.data, arguments.out)
    if arguments.part == "dit":
        return dit_task(arguments, model, store)

    from ..training.vae import VAETask

    return VAETask(model.vae, store, seed=arguments.seed, compile=arguments.compile)


def dit_task(arguments: argparse.Namespace, model: SoraConfig, store: ClipStore) -> Task:
    """Encode the clips with the trained VAE, once, and train on their latents."""
    from ..data.latents import LatentShard, encode_store
    from ..training.dit import DiTTask
    from ..training.export import trained_parts

    vae, text = trained_parts(model, arguments.vae, arguments.text)
    # Latents of another VAE must never be taken for this one's.
    latents = arguments.out / f"latents_{fingerprint(vae)}"
    encode_store(vae, store, latents)
    shards = [LatentShard.load(latents / shard.path.name) for shard in store.shards]
    return DiTTask(model, shards, text, vae, seed=arguments.seed, compile=arguments.compile)


def fingerprint(module: nn.Module) -> str:
    """A short name of a network's weights."""
    import hashlib

    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
