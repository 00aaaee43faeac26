"""Render a training set of procedural clips with captions and ground truth, or cut one from real videos.

examples:
  sora worlds --out data/sandbox --shards 40
  sora worlds --out data/sandbox --frames 1 --clips 512 --shards 60 --first 1000 --pairs 0.75       (stills of two toys)
  sora worlds --out data --world painter --shards 8
  sora worlds --out data/wide --size 128x64           (all of one size, for videos of that shape)
  sora worlds --out data/sandbox --shards 20 --first 1 --stride 2     (the odd half, on a second machine)
  sora worlds --out data/real --from-videos FOLDER                    (real videos, with the texts beside them)
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .generate import size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="shards that exist are kept")
    parser.add_argument(
        "--world", default="sandbox", metavar="NAME",
        help="sandbox (toys in landscapes), painter (strokes and bites that stay) or arcade (two games)"
        " (default: sandbox)",
    )  # fmt: skip
    parser.add_argument(
        "--from-videos", type=Path, metavar="DIR",
        help="cut the videos of a folder instead of rendering; a .txt file of the same name is the caption of a video",
    )  # fmt: skip
    parser.add_argument("--shards", type=int, default=16, metavar="N", help="files to render (default: 16)")
    parser.add_argument("--first", type=int, default=0, metavar="I", help="number of the first (default: 0)")
    parser.add_argument("--stride", type=int, default=1, metavar="I", help="from one number to the next (default: 1)")
    parser.add_argument("--clips", type=int, default=96, metavar="N", help="clips in a file (default: 96)")
    parser.add_argument(
        "--frames", type=int, default=17, metavar="N",
        help="frames of a clip, for sora train dit 1 + a multiple of 4, of 8 for XL and XXL; 1: stills (default: 17)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=size, metavar="WxH",
        help="pixels of all clips, multiples of 16, for B and L 32, for XL and XXL 64 (default: 20 sizes in turn)",
    )  # fmt: skip
    parser.add_argument(
        "--pairs", type=float, metavar="SHARE", help="share of sandbox scenes with a second toy (default: 0.3)"
    )
    parser.add_argument(
        "--walls", type=float, metavar="SHARE", help="share of sandbox scenes with a wall in front (default: 0.07)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")


def execute(arguments: argparse.Namespace) -> None:
    """Render the shards."""
    from ..data.generate import generate_shards
    from ..data.worlds.scene import Mix

    stills = arguments.world == "sandbox" and arguments.from_videos is None
    leasts = {"shards": 1, "first": 0, "stride": 1, "clips": 1, "frames": 1 if stills else 2}
    for name, least in leasts.items():
        if getattr(arguments, name) < least:
            raise ValueError(f"--{name} is {getattr(arguments, name)}; it must be at least {least}")
    shares = {}
    for name, most in (("pairs", 1.0), ("walls", 0.34)):
        share = getattr(arguments, name)
        if share is None:
            continue
        if not 0 <= share <= most:
            raise ValueError(f"--{name} is {share:g}; it must be a share from 0 to {most:g}, for instance 0.3")
        shares[name] = share
    if arguments.from_videos is not None:
        usual = {"world": "sandbox", "shards": 16, "first": 0, "stride": 1, "size": None, "pairs": None, "walls": None}
        for name, value in usual.items():
            if getattr(arguments, name) != value:
                raise ValueError(f"--{name} does nothing with --from-videos; leave it out")
        from ..data.footage import cut_videos

        cut_videos(
            arguments.from_videos,
            arguments.out,
            clips=arguments.clips,
            num_frames=arguments.frames,
            seed=arguments.seed,
        )
        return
    generate_shards(
        arguments.out, world=arguments.world, shards=arguments.shards, first=arguments.first,
        stride=arguments.stride, clips=arguments.clips, num_frames=arguments.frames, seed=arguments.seed,
        size=arguments.size and arguments.size[::-1], mix=Mix(**shares) if shares else None,
    )  # fmt: skip
