"""Encoding and decoding of one clip: our compression networks against other video VAEs at their released sizes.

python benchmarks/vae.py --clip 25x64x64 --ours mini base

No package brings the trained weights of a peer, so its speed is measured with random ones and its quality is not. Who
has them in a folder as diffusers stores them adds `--weights Wan=FOLDER`, and quality is compared on the same clip: a
rendered one, of the worlds that ours learnt from and theirs did not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pairing import Contestants, absent_is_fine, machine, randomised, ratio, settle, spread, turns
from torch import Tensor, nn

from sora_core import empty_layers
from sora_core.config import preset
from sora_core.evaluation.fidelity import rendered
from sora_core.evaluation.metrics import psnr
from sora_core.evaluation.prompts import described
from sora_core.pipeline import Sora
from sora_core.products import outruns_default
from sora_core.shapes import VideoShape
from sora_core.vae import VideoVAE

OURS = {"mini": "mini", "base": "B", "HD": "XL"}
"""Our compression networks, by a member of the family that uses each."""
PEERS = ("Wan", "LTXVideo", "HunyuanVideo", "CogVideoX", "Mochi")

Halves = dict[str, tuple[Callable[[], Any], Callable[[], Any]]]


def ours(clip: Tensor, names: list[str], operations: Any, label: str) -> Halves:
    """Encoder and decoder of each of our networks for which the clip is whole cells."""
    found: Halves = {}
    for name in names:
        config = preset(OURS[name]).vae
        cell = config.compression
        if (clip.shape[2] - 1) % cell.time or any(size % cell.space for size in clip.shape[3:]):
            print(f"skipped ours {name}: the clip is not whole cells of {cell.time}x{cell.space}x{cell.space}")
            continue
        net = randomised(VideoVAE(config, operations=operations))
        net.restore_buffers("cpu")  # the transform is not for random numbers
        with torch.inference_mode():
            latent = net.encode(clip)
        found[f"ours {name}{label}"] = (lambda n=net: n.encode(clip)), (lambda n=net, z=latent: n.decode(z))
    return found


def peers(clip: Tensor) -> Halves:
    """Encoder and decoder of each peer as diffusers configures it by default, which is how it was released."""
    found: Halves = {}
    video = clip * 2 - 1
    with absent_is_fine("diffusers"):
        import diffusers

        for name in PEERS:
            net = getattr(diffusers, f"AutoencoderKL{name}")().eval().requires_grad_(False)
            with torch.inference_mode():
                latent = net.encode(video).latent_dist.mean
            found[f"diffusers {name}"] = (lambda n=net: n.encode(video)), (lambda n=net, z=latent: n.decode(z))
    return found


def table(title: str, contestants: Contestants, megapixels: float, count: int) -> None:
    """Measure and print one direction."""
    seconds = turns(contestants, count)
    best = min((n for n in contestants if n.startswith("ours")), key=lambda name: spread(seconds[name]).middle)
    print(f"\n{title}, {count} turns{'':14} MPix/s   time of {best} / theirs (quartiles)")
    for name in contestants:
        speed = megapixels / spread(seconds[name]).middle
        print(f"{name:36} {speed:8.3f}   {ratio(seconds, best, name)}")


def quality(frames: int, height: int, width: int, weights: dict[str, Path]) -> None:
    """Print what reconstructions of one rendered clip are worth, for every network that has trained weights here."""
    shape = VideoShape(num_frames=frames, height=height, width=width, fps=8)
    clip = next(rendered(described(1, held_out=True), shape))
    print(f"\ntrained weights: PSNR of one rendered clip of {frames} frames at {width}x{height}, encoded and decoded")
    print("ours learnt from clips of the same worlds and theirs did not, so this is no comparison on real footage")
    with torch.inference_mode():
        vae = Sora.load().vae
        print(f"{'ours mini':36} {psnr(vae.decode(vae.encode(clip)).clamp(0, 1), clip):8.2f} dB")
        for name, folder in weights.items():
            import diffusers

            net = getattr(diffusers, f"AutoencoderKL{name}").from_pretrained(folder).eval()
            copy = net.decode(net.encode(clip * 2 - 1).latent_dist.mode()).sample / 2 + 0.5
            print(f"{f'diffusers {name}':36} {psnr(copy.clamp(0, 1), clip):8.2f} dB")
    absent = [name for name in PEERS if name not in weights]
    if absent:
        print(f"not compared, no trained weights here: {', '.join(absent)}; see --weights")


def peer_weights(text: str) -> tuple[str, Path]:
    """`NAME=FOLDER` of a peer's trained weights."""
    name, _, folder = text.partition("=")
    if name not in PEERS or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=FOLDER with a name of {', '.join(PEERS)}")
    return name, Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="25x64x64", help="frames x height x width; 1 + 24k frames suit everyone")
    parser.add_argument("--ours", nargs="+", default=["mini", "base"], choices=list(OURS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--weights", nargs="*", type=peer_weights, default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    frames, height, width = map(int, options.clip.split("x"))
    settle()
    print(machine())
    route = "with oneDNN throughout" if outruns_default() else "as PyTorch chooses"
    print(f"clip of {frames} frames at {width}x{height}, random weights: the tables compare speed alone")
    print(f"our convolutions run {route}")
    clip = torch.rand(1, 3, frames, height, width, generator=torch.Generator().manual_seed(0))
    field = {
        **ours(clip, options.ours, empty_layers, ""),
        **ours(clip, options.ours, nn, ", PyTorch's defaults"),
        **peers(clip),
    }
    megapixels = frames * height * width / 1e6
    table("encode", {name: halves[0] for name, halves in field.items()}, megapixels, options.turns)
    table("decode", {name: halves[1] for name, halves in field.items()}, megapixels, options.turns)
    quality(frames, height, width, dict(options.weights))


if __name__ == "__main__":
    main()
