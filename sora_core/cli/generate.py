"""Make a video, or an image, from a prompt.

examples:
  sora generate "a red ball bouncing on a meadow" --out ball.mp4
  sora generate "a blue car driving left through the desert at sunset" --size 144x64 --seconds 3 --seed 7 --out car.mp4
  sora generate "一只黄色的鸭子在海上" --size 128x128 --out duck.png
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..pipeline import Sora
    from ..shapes import VideoShape

SAMPLERS = ("dpmpp_2m", "heun", "euler")


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
    parser.add_argument("--steps", type=int, default=20, metavar="K", help="sampling steps (default: 20)")
    parser.add_argument("--guidance", type=float, default=4.0, metavar="G", help="1 is no guidance (default: 4)")
    parser.add_argument("--negative", default="", metavar="TEXT", help="what to stay away from")
    parser.add_argument("--sampler", choices=SAMPLERS, default=SAMPLERS[0], help=f"(default: {SAMPLERS[0]})")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="model file (default: the bundled one)")
    parser.add_argument(
        "--out", type=Path, default=Path("sora.mp4"), metavar="FILE",
        help=".mp4, .mov, .mkv, .webm, .png, .jpg or .webp; an image has one frame (default: sora.mp4)",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> None:
    """Check the request, load the model, sample, and decode chunk by chunk into the file."""
    from ..shapes import VideoShape
    from ..video import is_image
    from . import say

    still = is_image(arguments.out)
    seconds = 2.0 if arguments.seconds is None else arguments.seconds
    width, height = arguments.size
    shape = VideoShape.from_seconds(width=width, height=height, seconds=seconds, fps=arguments.fps)
    if still and shape.num_frames > 1:
        if arguments.seconds is not None:
            say(f"{arguments.out.name} is an image: one frame instead of {shape.num_frames}")
        shape = dataclasses.replace(shape, num_frames=1)

    from ..pipeline import Sora

    sora = Sora.load(arguments.checkpoint)
    sora.latent_shape(shape)  # refuses what is too large before anything is said about it
    remark(sora, shape, arguments.prompt)
    write(sora, sample(sora, shape, arguments), shape, arguments.out)
    print(arguments.out)


def remark(sora: Sora, shape: VideoShape, prompt: str) -> None:
    """Say what the model cannot take literally: sizes that are rounded underneath, words that are not read."""
    from . import say

    note = shape.rounding_note(sora.config.vae.compression, sora.config.dit.patch)
    if note:
        say(note)
    unread = sora.text.tokenizer().overflow(prompt)
    if unread:
        say(f"the prompt is longer than {sora.config.text.max_tokens} words; not read: {' '.join(unread)}")


def sample(sora: Sora, shape: VideoShape, arguments: argparse.Namespace) -> Any:
    """The latent `1 c t h w`, with a progress bar."""
    from tqdm import tqdm

    with tqdm(total=max(0, arguments.steps), desc="sampling", unit="step", leave=False) as bar:
        return sora.sample(
            [arguments.prompt], shape, [arguments.seed], negative=arguments.negative, steps=arguments.steps,
            guidance=arguments.guidance, sampler=arguments.sampler, callback=lambda _: bar.update(),
        )  # fmt: skip


def write(sora: Sora, latent: Any, shape: VideoShape, out: Path) -> None:
    """Decode chunk by chunk into the file, so that memory does not grow with the duration."""
    from tqdm import tqdm

    from ..video import VideoWriter, is_image, write_image
    from . import say

    chunks = (chunk.permute(1, 2, 3, 0) for chunk in sora.decode(latent, shape))  # t h w 3
    if is_image(out):
        write_image(out, next(chunks)[0])
        return
    writer = VideoWriter(out, shape.width, shape.height, shape.fps)
    if writer.note:
        say(writer.note)
    with writer, tqdm(total=shape.num_frames, desc="decoding", unit="frame", leave=False) as bar:
        for chunk in chunks:
            writer.write(chunk)
            bar.update(len(chunk))
