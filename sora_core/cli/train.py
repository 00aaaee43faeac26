r"""Train a part of a model; an interrupted run continues bit for bit when it is started again.

examples:
  sora worlds --out data/sandbox --shards 40
  sora train vae  --data data/sandbox --out runs/vae  --steps 30000
  sora train text --out runs/text --steps 10000
  sora train dit  --data data/sandbox --vae runs/vae --text runs/text --out runs/dit --steps 100000
  sora train dit  --data data/sandbox --out runs/dit --steps 100000     (on the parts of the bundled model)
  sora train dit  --data data/mine --init my-model.safetensors --out runs/more --steps 5000     (goes on from a model)
  sora train text --init my-model.safetensors --out runs/words --steps 600        (more words for its text encoder)
  sora train judge --data data/sandbox --out runs/judge --steps 7000    (what `sora evaluate` scores with)
  sora train captioner --data data/sandbox --out runs/captioner --steps 1800      (what `sora caption` describes with)
  sora train critic --data data/sandbox --out runs/critic --steps 1500            (reads latents; for the next line)
  sora train dit  --data data/sandbox --init my-model.safetensors --critic runs/critic/critic.safetensors \
      --drafts 0.15 --out runs/dit --steps 100000                  (small things count as much as can be told of them)
  torchrun --standalone --nproc-per-node 2 -m sora_core train dit --data data/sandbox --out runs/dit --steps 100000 \
      --slots 2                                                         (the same run as one process with --slots 2;
                                                                         a process for each core is the fastest)
  torchrun --standalone --nproc-per-node 8 -m sora_core train dit --preset XL --data data/large --vae runs/xl-vae \
      --text runs/xl-text --out runs/xl --steps 100000 --slots 8 --shard   (a process for each card, each holding an
                                                                            eighth of the transformer's blocks)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .device import add_device_argument, chosen_device
from .training_tasks import FINISHERS, PICTURES, build_task, start_from, world_shares

RATES = {"vae": 1e-3, "text": 1e-3, "dit": 1e-3, "judge": 1e-3, "captioner": 1e-3, "critic": 2e-3}
"""Peak learning rates that worked for the shipped models."""
KNOWN = {
    "data": ("vae", "dit", "judge", "captioner", "critic"), "vae": ("dit", "judge", "critic"), "text": ("dit",),
    "share": ("dit",), "pictures": ("dit",), "regenerate": ("vae",), "compile": ("vae", "dit"), "shard": ("dit",),
    "critic": ("dit",), "drafts": ("dit",), "preset": ("vae", "text", "dit", "judge", "critic"),
}  # fmt: skip
"""The parts that an option is for; those that are not here are for all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "part",
        choices=tuple(RATES),
        help="compression network, text encoder, transformer, judge, captioner or critic",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="shards of clips, as `sora worlds` makes them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run: state, log, contact sheets")
    parser.add_argument("--steps", type=int, required=True, metavar="N", help="length of the whole run")
    parser.add_argument("--vae", type=Path, metavar="RUN", help="for dit, judge and critic: folder of the vae training")
    parser.add_argument("--text", type=Path, metavar="RUN", help="for dit: folder of the text training")
    parser.add_argument("--init", type=Path, metavar="FILE", help="model file to start from (default: fresh weights)")
    parser.add_argument(
        "--share", nargs="+", metavar="WORLD=SHARE",
        help="for dit: share of the clips that come from a world, painter=0.1 (default: every clip equally often)",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", type=float, metavar="SHARE",
        help="for dit: share of single frames among the samples; a fresh model learns most from many (default: 0.3)",
    )  # fmt: skip
    parser.add_argument(
        "--regenerate", type=Path, metavar="FILE",
        help="for vae: model file whose transformer noises and denoises every other batch of latents, so that the"
        " decoder learns to smooth over what generated latents get wrong",
    )  # fmt: skip
    parser.add_argument(
        "--critic", type=Path, metavar="FILE",
        help="for dit: predictions shall look to this critic as the clips do, too: small things are learnt sooner",
    )  # fmt: skip
    parser.add_argument(
        "--drafts", type=float, metavar="SHARE",
        help="for dit with --critic: clips that it also draws from noise, as a share of a batch, to learn what the"
        " critic misses in them; each takes six steps, so a sixth about doubles the work (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--preset", metavar="NAME",
        help="for all but the captioner: nano, mini, S, B, L, XL, XXL (default: that of --init, or mini)",
    )  # fmt: skip
    parser.add_argument("--lr", type=float, metavar="RATE", help="peak learning rate (default: 1e-3; critic: 2e-3)")
    parser.add_argument(
        "--slots", type=int, default=1, metavar="N",
        help="batches in a step, shared out among the processes that torchrun started (default: 1)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument("--save-every", type=int, default=200, metavar="N", help="steps (default: 200)")
    parser.add_argument("--report-every", type=int, default=20, metavar="N", help="steps (default: 20)")
    parser.add_argument("--sheet-every", type=int, default=1000, metavar="N", help="steps (default: 1000)")
    parser.add_argument(
        "--compile", action="store_true",
        help="for vae and dit: faster steps (1.45x on a CPU) after a minute or two for each size; needs a C++ compiler",
    )  # fmt: skip
    parser.add_argument(
        "--shard", action="store_true",
        help="for dit: divide the blocks' weights, averages and optimiser state among the processes of torchrun, for"
        " models larger than one card (PyTorch 2.8 or newer)",
    )  # fmt: skip
    add_device_argument(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Build the task and train it to the end. Raises ValueError for options that are for another part."""
    for name, parts in KNOWN.items():
        value = getattr(arguments, name)
        if value is not None and value is not False and arguments.part not in parts:
            raise ValueError(f"--{name} does nothing for the {arguments.part}; it is for {' and '.join(parts)}")
    for name in ("steps", "slots", "save_every", "report_every", "sheet_every"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; it must be at least 1")
    lr = RATES[arguments.part] if arguments.lr is None else arguments.lr
    if arguments.pictures is not None and not 0 <= arguments.pictures <= 1:
        raise ValueError(f"--pictures is {arguments.pictures}; it must be a share from 0 to 1, for instance 0.3")
    drafts = arguments.drafts or 0.0
    if not 0 <= drafts <= 1:
        raise ValueError(f"--drafts is {drafts}; it must be a share from 0 to 1, for instance 0.15")
    if drafts and arguments.critic is None:
        raise ValueError("--drafts needs a --critic to read them; train one with: sora train critic")
    if drafts and arguments.shard:
        # Clips of other sizes take guidance in more or fewer steps, and processes that share blocks would wait.
        raise ValueError("--drafts cannot be drawn by a model that --shard divides; leave one of both out")
    if not 0 < lr <= 1:
        raise ValueError(f"--lr is {lr}; it must be above 0 and at most 1, for instance 0.001")

    if arguments.shard and arguments.compile:
        raise ValueError("--compile does nothing with --shard; leave it out")

    from ..training import parallel
    from ..training.loop import TrainConfig, train
    from ..training.run_folder import last_settings, note_settings, own_folder
    from ..training.sharding import refuse_one_process, refuse_uneven
    from ..training.state import STATE

    config = TrainConfig(
        steps=arguments.steps, slots=arguments.slots, lr=lr, save_every=arguments.save_every,
        report_every=arguments.report_every, sheet_every=arguments.sheet_every, fresh=arguments.init is None,
    )  # fmt: skip
    device = chosen_device(arguments.device, parallel.own_card())
    with parallel.processes(device):
        # What cannot be is refused before the clips are encoded.
        parallel.own_slots(arguments.slots)
        if arguments.shard:
            refuse_one_process()
            refuse_uneven(arguments.slots)
        with own_folder(arguments.out):
            settings = settings_of(arguments, lr)
            if parallel.rank() == 0:
                remark(arguments.out, last_settings(arguments.out), settings)
            task = build_task(arguments, device)
            if parallel.rank() == 0:
                note_settings(arguments.out, settings)
            if arguments.init is not None and not (arguments.out / STATE).exists():
                start_from(task, arguments.part, arguments.init)
            ema = train(task, config, arguments.out)
            if arguments.part in FINISHERS and parallel.rank() == 0:
                path = arguments.out / f"{arguments.part}.safetensors"
                FINISHERS[arguments.part](task, ema, path, arguments.steps)


def settings_of(arguments: argparse.Namespace, lr: float) -> dict[str, Any]:
    """What becomes of a run, apart from its data and length. Raises ValueError for shares that are none."""
    files = {name: getattr(arguments, name) for name in ("init", "regenerate", "critic")}
    return {
        "lr": lr, "seed": arguments.seed, "slots": arguments.slots, "share": world_shares(arguments.share or []),
        "pictures": PICTURES if arguments.pictures is None else arguments.pictures, "drafts": arguments.drafts or 0.0,
        **{name: None if path is None else str(path.resolve()) for name, path in files.items()},
    }  # fmt: skip


def remark(run: Path, before: dict[str, Any], settings: dict[str, Any]) -> None:
    """Say what a run that goes on is asked for otherwise than before.

    Raises ValueError when it is to go on from a model file and began with fresh weights, or the reverse.
    """
    from . import say

    for name, now in settings.items():
        was = before.get(name, now)
        if was == now:
            continue
        if name != "init":
            say(f"--{name} is {now} from here on; until now it was {was}")
        elif was is None or now is None:
            begun = "fresh weights" if was is None else f"--init {was}"
            raise ValueError(f"{run} began with {begun}; go on with that or begin another run")
        else:
            say(f"--init {now} does nothing now: {run} goes on from its own weights, which began with {was}")
