r"""Say in detail what videos show, in English or Chinese, or caption the clips of a training set.

examples:
  sora caption clip.mp4
  sora caption videos/*.mp4 --language zh --write       (clip.txt beside clip.mp4; a text that is there is kept)
  sora caption --data data/mine                         (what `sora train dit` then says of clips cut from videos)

The bundled captioner has seen the worlds of this package alone: ten toys in seven places, their light, how they and the
camera move. It calls everything else by the nearest of these.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .device import add_device_argument, chosen_device

if TYPE_CHECKING:
    from ..text.captioner import Captioner

CLIPS_AT_ONCE = 16
"""Clips of a shard that are looked at together."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEO", help="files that are described, a line for each"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="instead: a folder of shards cut from videos, whose clips get captions; a shard that has some, in"
        " whatever language, keeps them",
    )  # fmt: skip
    parser.add_argument("--language", choices=("en", "zh"), help="(default: en; with --data, a caption in each)")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T",
        help="above 0, draw words rather than take the likeliest: 0.5 varies them (default: 0)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the words that are drawn (default: 0)")
    parser.add_argument("--write", action="store_true", help="also write new .txt files beside the videos")
    parser.add_argument(
        "--captioner", type=Path, metavar="FILE", help="a captioner of your own (default: the bundled one)"
    )
    add_device_argument(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Describe and print. Raises ValueError when there is nothing to describe, or too much, or not all could be."""
    if bool(arguments.videos) == (arguments.data is not None):
        raise ValueError("give videos to describe, or a folder of shards with --data")
    if arguments.data is not None and arguments.write:
        raise ValueError("--write does nothing with --data, where captions are always written; leave it out")
    for path in arguments.videos:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")

    from ..text.captioner import BUNDLED, load_captioner

    if arguments.write:
        refuse_shared_texts(arguments.videos)
    captioner = load_captioner(arguments.captioner or BUNDLED).to(chosen_device(arguments.device))
    if arguments.data is None:
        caption_videos(captioner, arguments)
    else:
        caption_shards(captioner, arguments)


def refuse_shared_texts(videos: list[Path]) -> None:
    """Raise ValueError for a text file that cannot be written, or that two videos would have."""
    from ..files import writable

    texts: dict[Path, Path] = {}
    for video in videos:
        text = video.with_suffix(".txt")
        other = texts.setdefault(text, video)
        if other != video:
            raise ValueError(f"the captions of {other.name} and {video.name} would both be {text.name}; rename one")
        if not text.is_file():
            writable(text)


def caption_videos(captioner: Captioner, arguments: argparse.Namespace) -> None:
    """Print a line for each video, and write it beside the video if asked and nothing is written there.

    Raises ValueError after the last one if some could not be read.
    """
    from ..files import whole_or_absent
    from ..randomness import generator
    from ..text.captioner import glimpses, tell
    from ..video import VideoReader
    from . import say

    failed = []
    for path in arguments.videos:
        try:
            with VideoReader(path, chunk=16) as reader:
                look = captioner.look(glimpses(reader, reader.fps))
        except ValueError as error:
            if len(arguments.videos) == 1:
                raise
            say(f"{path}: {error}")
            failed.append(path.name)
            continue
        draws = generator(arguments.seed, "caption", path.name)
        (text,) = tell(captioner, look, arguments.language or "en", temperature=arguments.temperature, draws=draws)
        print(text if len(arguments.videos) == 1 else f"{path}\t{text}")
        written = path.with_suffix(".txt")
        if arguments.write and written.exists():
            say(f"{written.name} is kept")
        elif arguments.write:
            with whole_or_absent(written) as temporary:
                temporary.write_text(f"{text}\n", encoding="utf-8")
    if failed:
        raise ValueError(f"{len(failed)} of {len(arguments.videos)} videos could not be read: {', '.join(failed)}")


def caption_shards(captioner: Captioner, arguments: argparse.Namespace) -> None:
    """Write captions of all clips of the shards that have none and do not know themselves what they show."""
    import torch

    from ..data.store import ClipStore, captions_path, write_captions
    from ..data.worlds.catalogue import WORLDS
    from ..data.worlds.lexicon import LANGUAGES
    from ..evaluation.judge import stride_at, windows
    from ..randomness import generator
    from ..text.captioner import tell
    from . import say

    languages = LANGUAGES if arguments.language is None else (arguments.language,)
    for shard in ClipStore(arguments.data).shards:
        path, world, fps = captions_path(shard.path), shard.world, shard.about["fps"]
        if shard.captions() is not None:
            say(f"{path.name} is kept")
            continue
        if world in WORLDS:
            say(f"{shard.path.name} is of the {world} and knows what its clips show; it is left out")
            continue
        draws = generator(arguments.seed, "captions", shard.path.name)
        rows, stride = [], stride_at(fps)
        for start in range(0, shard.clips, CLIPS_AT_ONCE):
            part = range(start, min(start + CLIPS_AT_ONCE, shard.clips))
            video = torch.stack([shard.frames(row)[::stride] for row in part]).movedim(-1, 1).float().div(255)
            look = captioner.look(windows(video, fps / stride))
            texts = [
                tell(captioner, look, language, temperature=arguments.temperature, draws=draws)
                for language in languages
            ]
            rows += [list(each) for each in zip(*texts, strict=True)]
        write_captions(shard.path, rows)
        print(path)
