"""Make a video, or an image, from a prompt; longer ones window after window, so that a run that was killed goes on.

examples:
  sora generate "a red ball bouncing on a meadow" --out ball.mp4
  sora generate "a blue car driving left through the desert at sunset" --size 144x64 --seconds 3 --seed 7 --out car.mp4
  sora generate "a green car drives through the snow" --size 64x64 --seconds 60 --fps 24 --out minute.mp4
  sora generate "一只黄色的鸭子在海上" --size 128x128 --out duck.png
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import writable
from .device import add_device_argument, chosen_device

if TYPE_CHECKING:
    from ..pipeline import Sora
    from ..shapes import VideoShape

SAMPLERS = ("dpmpp_2m", "heun", "euler")
WHOLE = 6.0
"""Seconds that are sampled in one piece: somewhat more than Mini's longest training clips, which last 4.25."""


def size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` as two whole numbers."""
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write width x height in pixels: 128x96") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("prompt", metavar="PROMPT", help="what to show, in English or Chinese")
    parser.add_argument("--size", type=size, default=(128, 128), metavar="WxH", help="pixels, any (default: 128x128)")
    parser.add_argument("--seconds", type=float, metavar="S", help="duration; 0 is a still image (default: 2)")
    parser.add_argument("--fps", type=float, default=8.0, metavar="F", help="frames per second (default: 8)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, another video (default: 0)")
    parser.add_argument("--steps", type=int, default=8, metavar="K", help="sampling steps (default: 8)")
    parser.add_argument("--guidance", type=float, default=3.0, metavar="G", help="1 is no guidance (default: 3)")
    parser.add_argument(
        "--expand", action="store_true", help="add what the prompt leaves open, drawn by the seed: place, time, camera"
    )  # fmt: skip
    parser.add_argument("--negative", default="", metavar="TEXT", help="what to stay away from")
    parser.add_argument("--sampler", choices=SAMPLERS, default=SAMPLERS[0], help=f"(default: {SAMPLERS[0]})")
    parser.add_argument(
        "--window", type=float, metavar="S",
        help=f"seconds to sample at a time (default: 2 for videos above {WHOLE:g} seconds, else the whole video)",
    )  # fmt: skip
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="model file (default: the bundled one)")
    parser.add_argument(
        "--out", type=Path, default=Path("sora.mp4"), metavar="FILE",
        help=".mp4, .mov, .mkv, .webm, .png, .jpg or .webp; an image has one frame (default: sora.mp4)",
    )  # fmt: skip
    add_device_argument(parser)
    add_file_arguments(parser)


FILE_OPTIONS = {"codec": None, "crf": 16, "pixel_format": "yuv420p"}
"""How a video file is written where nothing is said."""


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a video file is to be written."""
    parser.set_defaults(**FILE_OPTIONS)
    parser.add_argument("--codec", metavar="NAME", help="h264 or vp9 (default: h264, and vp9 in .webm)")
    parser.add_argument("--crf", type=int, metavar="Q", help="quality, lower is better (default: 16)")
    parser.add_argument(
        "--pixel-format", metavar="NAME",
        help="yuv420p, yuv444p for whole colours, yuv420p10le for 10 bits (default: yuv420p)",
    )  # fmt: skip


def file_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What those arguments mean to `VideoWriter`."""
    return {name: getattr(arguments, name) for name in FILE_OPTIONS}


def execute(arguments: argparse.Namespace) -> None:
    """Check the request, load the model, sample, and decode chunk by chunk into the file."""
    from ..shapes import VideoShape
    from ..video import VideoWriter, is_image
    from . import say

    device, still = chosen_device(arguments.device), is_image(arguments.out)
    seconds = 2.0 if arguments.seconds is None else arguments.seconds
    width, height = arguments.size
    if arguments.window is not None and not arguments.window > 0:
        raise ValueError(f"--window is {arguments.window:g} seconds; it must be above 0")
    shape = VideoShape.from_seconds(width=width, height=height, seconds=seconds, fps=arguments.fps, resized=True)
    if still:
        for name, usual in FILE_OPTIONS.items():
            if getattr(arguments, name) != usual:
                raise ValueError(f"--{name.replace('_', '-')} does nothing for an image; leave it out")
    if still and shape.num_frames > 1:
        if arguments.seconds is not None:
            say(f"{arguments.out.name} is an image: one frame instead of {shape.num_frames}")
        shape = dataclasses.replace(shape, num_frames=1)

    if arguments.expand:
        from ..randomness import generator
        from ..text.expander import expand

        arguments.prompt = expand(arguments.prompt, generator(arguments.seed, "expand"))
        say(arguments.prompt)

    from ..editing.long_state import LongState
    from ..pipeline import Sora

    sora = Sora.load(arguments.checkpoint, device=device)
    sora.latent_shape(shape)  # refuses what is too large before anything is said about it
    if not still:
        VideoWriter(arguments.out, width, height, shape.fps, **file_options(arguments))  # refuses before any work
    remark(sora, shape, arguments.prompt, arguments.negative)
    kept = arguments.out.with_name(f"{arguments.out.name}.latent.safetensors")
    writable(arguments.out)
    writable(kept)
    try:
        sample(sora, shape, arguments, kept)
        write(sora, kept, shape, arguments.out, **file_options(arguments))
    except BaseException:
        there = LongState(kept, "").kept()
        if there is not None:
            say(
                f"what is done is kept in {there}; run the same command again to go on from there, or delete that to"
                " make something else"
            )
        raise
    kept.unlink()
    print(arguments.out)


def remark(sora: Sora, shape: VideoShape, *prompts: str) -> None:
    """Say what the model cannot take literally: sizes rounded underneath, words that are not read or not known."""
    from ..text.known_words import unknown_note
    from . import say

    note = shape.rounding_note(sora.config.vae.compression, sora.config.dit.patch)
    if note:
        say(note)
    for prompt in prompts:
        unread = sora.text.tokenizer().overflow(prompt)
        if unread:
            say(f"the prompt is longer than {sora.config.text.max_tokens} words; not read: {' '.join(unread)}")
        if unknown_note(prompt):
            say(unknown_note(prompt))


def sample(sora: Sora, shape: VideoShape, arguments: argparse.Namespace, kept: Path) -> None:
    """Put the latent `1 c t h w` on disk, with a progress bar; what an earlier run left there is taken up."""
    from tqdm import tqdm

    from ..editing.long_video import long_video, usual_overlap
    from ..editing.regenerate import Sampling

    least = 12 / shape.fps
    seconds = arguments.window or max(2.0 if shape.seconds > WHOLE else shape.seconds, least)
    with tqdm(desc="sampling", unit="step", leave=False) as bar:
        long_video(
            sora, arguments.prompt, shape, arguments.seed, window=seconds, overlap=usual_overlap(seconds), state=kept,
            sampling=Sampling(
                steps=arguments.steps, guidance=arguments.guidance, negative=arguments.negative,
                sampler=arguments.sampler, callback=lambda _: bar.update(),
            ),
        )  # fmt: skip


def write(sora: Sora, kept: Path, shape: VideoShape, out: Path, **options: Any) -> None:
    """Decode chunk by chunk into the file, so that memory does not grow with the duration.

    `options` are those of `VideoWriter`.
    """
    from tqdm import tqdm

    from ..stored_latent import StoredLatent
    from ..video import VideoWriter, is_image, write_image
    from . import say

    chunks = (chunk.permute(1, 2, 3, 0) for chunk in sora.decode(StoredLatent(kept), shape))  # t h w 3
    if is_image(out):
        write_image(out, next(chunks)[0])
        return
    writer = VideoWriter(out, shape.width, shape.height, shape.fps, **options)
    if writer.note:
        say(writer.note)
    with writer, tqdm(total=shape.num_frames, desc="decoding", unit="frame", leave=False) as bar:
        for chunk in chunks:
            writer.write(chunk)
            bar.update(len(chunk))
