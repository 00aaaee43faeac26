"""Make a small video again in high definition, in tiles and windows, with memory that does not grow with its length.

Windows that are done stay on disk until the video is: the same command goes on from there after a crash.

examples:
  sora finish preview.mp4 "a red ball bouncing on a meadow" --size 1920x1080 --out final.mp4
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from ..files import writable
from .device import add_device_argument, chosen_device
from .generate import SAMPLERS, add_file_arguments, file_options, remark, size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("preview", type=Path, metavar="FILE", help="the small video")
    parser.add_argument("prompt", metavar="PROMPT", help="what it shows, in English or Chinese")
    parser.add_argument(
        "--size", type=size, default=(1920, 1080), metavar="WxH",
        help="pixels, of the preview's shape to within a tenth (default: 1920x1080)",
    )  # fmt: skip
    parser.add_argument(
        "--strength", type=float, default=0.5, metavar="S", help="0 only enlarges, 1 makes it anew (default: 0.5)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, other details (default: 0)")
    parser.add_argument("--steps", type=int, default=10, metavar="K", help="sampling steps (default: 10)")
    parser.add_argument(
        "--guidance", type=float, default=2.0, metavar="G", help="1 is none and twice as fast (default: 2)"
    )
    parser.add_argument("--sampler", choices=SAMPLERS, default=SAMPLERS[0], help=f"(default: {SAMPLERS[0]})")
    parser.add_argument("--tile", type=int, metavar="PX", help="pixels of a tile's sides (default: as many as suit)")
    parser.add_argument("--window", type=float, default=2.0, metavar="S", help="seconds at a time (default: 2)")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="model file (default: the bundled one)")
    parser.add_argument("--out", type=Path, default=Path("final.mp4"), metavar="FILE", help="(default: final.mp4)")
    add_device_argument(parser)
    add_file_arguments(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Read, make and write a window at a time."""
    from tqdm import tqdm

    from ..editing.final import final_video
    from ..editing.long_video import usual_overlap
    from ..editing.regenerate import Sampling
    from ..pipeline import Sora
    from ..shapes import VideoShape
    from ..sound import Soundtrack
    from ..video import VideoReader, VideoWriter
    from . import say

    if arguments.tile is not None and arguments.tile < 1:
        raise ValueError(f"--tile is {arguments.tile} pixels; it must be at least 1")
    if arguments.out.resolve() == arguments.preview.resolve():
        raise ValueError(f"--out is {arguments.out}, the preview itself, which would be lost; choose another name")
    device, (width, height) = chosen_device(arguments.device), arguments.size
    reader = VideoReader(arguments.preview, chunk=4)
    if reader.note:
        say(reader.note)
    shape = VideoShape(num_frames=reader.num_frames, height=height, width=width, fps=reader.fps)
    writer = VideoWriter(
        arguments.out, width, height, reader.fps, sound=Soundtrack(arguments.preview), **file_options(arguments)
    )  # fmt: skip
    writable(arguments.out)
    sora = Sora.load(arguments.checkpoint, device=device)
    remark(sora, shape, arguments.prompt)
    kept = arguments.out.with_name(f"{arguments.out.name}.windows")
    step = sora.config.vae.compression.space * sora.config.dit.patch[1]
    with tqdm(desc="sampling", unit="step", leave=False) as bar:
        frames = final_video(
            sora, reader, arguments.prompt, shape, arguments.seed, strength=arguments.strength, window=arguments.window,
            overlap=usual_overlap(arguments.window),
            tile=arguments.tile and max(1, arguments.tile // step) * sora.config.dit.patch[1],
            sampling=Sampling(
                steps=arguments.steps, guidance=arguments.guidance, sampler=arguments.sampler,
                callback=lambda _: bar.update(),
            ),
            state=kept,
        )  # fmt: skip
        try:
            with writer:
                if writer.note:
                    say(writer.note)
                for chunk in frames:
                    writer.write(chunk)
        except BaseException:
            if kept.exists() and not any(kept.iterdir()):
                kept.rmdir()
            elif kept.exists():
                say(
                    f"the finished windows are kept in {kept}; run the same command again to go on from there, or"
                    " delete that folder to begin anew"
                )
            raise
    shutil.rmtree(kept, ignore_errors=True)
    print(arguments.out)
