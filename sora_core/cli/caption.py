r"""Say in detail what videos show, in English or Chinese, or caption the clips of a training set.

examples:
  sora caption clip.mp4
  sora caption videos/*.mp4 --language zh --write           (clip.txt beside clip.mp4)
  sora caption --data data/real                             (what `sora train dit` then trains with)

The bundled captioner has seen the worlds of this package alone: ten toys in seven places, their light, how they and the
camera move. It calls everything else by the nearest of these.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ..text.captioner import Captioner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEO", help="files that are described, a line for each"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="instead: a folder of shards whose clips get captions; shards that have some keep them",
    )  # fmt: skip
    parser.add_argument("--language", choices=("en", "zh"), help="(default: en; with --data, a caption in each)")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T",
        help="above 0, draw words rather than take the likeliest: 0.5 varies them (default: 0)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the words that are drawn (default: 0)")
    parser.add_argument("--write", action="store_true", help="also write each caption to a .txt file beside its video")
    parser.add_argument(
        "--captioner", type=Path, metavar="FILE", help="a captioner of your own (default: the bundled one)"
    )


def execute(arguments: argparse.Namespace) -> None:
    """Describe and print. Raises ValueError when there is nothing to describe, or too much."""
    if bool(arguments.videos) == (arguments.data is not None):
        raise ValueError("give videos to describe, or a folder of shards with --data")
    if arguments.data is not None and arguments.write:
        raise ValueError("--write does nothing with --data, where captions are always written; leave it out")
    for path in arguments.videos:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")

    from ..randomness import generator
    from ..text.captioner import BUNDLED, describe, glimpses, load_captioner
    from ..video import VideoReader

    captioner = load_captioner(arguments.captioner or BUNDLED)
    if arguments.data is not None:
        caption_shards(captioner, arguments)
        return
    for path in arguments.videos:
        with VideoReader(path, chunk=16) as reader:
            frames, fps = glimpses(reader, reader.fps)
        draws = generator(arguments.seed, "caption", path.name)
        language = arguments.language or "en"
        (text,) = describe(captioner, frames, fps, language, temperature=arguments.temperature, draws=draws)
        if arguments.write:
            path.with_suffix(".txt").write_text(f"{text}\n", encoding="utf-8")
        print(text if len(arguments.videos) == 1 else f"{path}\t{text}")


def caption_shards(captioner: Captioner, arguments: argparse.Namespace) -> None:
    """Write captions of all clips of a folder's shards, shard after shard."""
    from ..data.store import ClipStore, write_captions
    from ..randomness import generator
    from . import say

    for shard in ClipStore(arguments.data).shards:
        if shard.captions() is not None:
            say(f"{shard.captions_path.name} is kept")
            continue
        draws = generator(arguments.seed, "captions", shard.path.name)
        rows = []
        for start in range(0, shard.clips, 16):
            part = range(start, min(start + 16, shard.clips))
            rows += captions_of(captioner, [shard.frames(row) for row in part], shard.about["fps"], arguments, draws)
        write_captions(shard.path, rows)
        print(shard.captions_path)


def captions_of(
    captioner: Captioner, clips: list[Tensor], fps: float, arguments: argparse.Namespace, draws: Generator
) -> list[list[str]]:
    """The captions of some clips `t h w 3`, in every language that is asked for."""
    import torch

    from ..data.worlds.lexicon import LANGUAGES
    from ..text.captioner import describe

    video = torch.stack(clips).movedim(-1, 1).float().div(255)
    languages = LANGUAGES if arguments.language is None else (arguments.language,)
    texts = [
        describe(captioner, video, fps, language, temperature=arguments.temperature, draws=draws)
        for language in languages
    ]
    return [list(each) for each in zip(*texts, strict=True)]
