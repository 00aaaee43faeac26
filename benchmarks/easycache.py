"""What ComfyUI's EasyCache saves on a Sora model, and what it costs: passes, time and likeness by threshold.

python benchmarks/easycache.py --thresholds 0.05 0.1 0.2 0.4
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from in_comfyui import blocks, prepare, run
from pairing import settle
from torch import Tensor

PROMPTS = (
    "A red ball bounces in a meadow during the day.",
    "A yellow duck floats to the right on the sea at sunset.",
    "A blue car in a neon city at night, the camera orbits.",
)


def measured(nodes: Any, model: Any, arguments: dict[str, Any], passes: list[int]) -> tuple[Tensor, float, int]:
    """A latent, the CPU seconds of its sampling and how often the network ran."""
    passes.clear()
    start = time.process_time()
    latent = run(nodes, "SoraSampler", model=model, **arguments)[0]["samples"]
    return latent, time.process_time() - start, len(passes)


def psnr(one: Tensor, other: Tensor) -> float:
    return float(-10 * (one - other).square().mean().log10())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--checkpoint", default="sora-mini (bundled)", help="as the block Load Sora Model names it")
    parser.add_argument("--size", type=int, default=128, help="pixels of each side")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="how many prompts")
    options = parser.parse_args()
    settle()
    prepare(pytorch_attention=False)
    nodes, passes = blocks(), []
    rows: dict[float, list[tuple[float, int, float, float]]] = {t: [] for t in (0.0, *options.thresholds)}
    with torch.inference_mode():
        model, clip, vae = run(nodes, "SoraLoadModel", checkpoint=options.checkpoint)
        first = model.model.diffusion_model.blocks[0]
        first.register_forward_pre_hook(lambda *_: passes.append(1))
        grid = run(nodes, "SoraNoiseGrid", vae=vae, width=options.size, height=options.size, seconds=2.0, fps=8.0)[0]
        for number, prompt in enumerate(PROMPTS[: options.prompts]):
            positive, negative = run(nodes, "SoraTextEncode", clip=clip, prompt=prompt, negative="")
            arguments = {
                "positive": positive, "negative": negative, "latent": grid, "seed": number, "steps": options.steps,
                "guidance": 3.0, "sampler": "dpmpp_2m",
            }  # fmt: skip
            if number == 0:
                measured(nodes, model, arguments, passes)  # the first sampling of a process also warms up
            whole, seconds, count = measured(nodes, model, arguments, passes)
            video = vae.decode(whole)
            rows[0.0].append((seconds, count, float("inf"), 0.0))
            for threshold in options.thresholds:
                cached = run(
                    nodes, "EasyCache", model=model, reuse_threshold=threshold, start_percent=0.15, end_percent=0.95,
                    verbose=False,
                )[0]  # fmt: skip
                latent, seconds, count = measured(nodes, cached, arguments, passes)
                away = float((latent - whole).std() / whole.std())
                rows[threshold].append((seconds, count, psnr(vae.decode(latent), video), away))
    print(f"{options.checkpoint}, 2 s of {options.size}x{options.size}, {options.steps} steps, guidance 3,")
    print(f"means of {min(options.prompts, len(PROMPTS))} prompts; likeness is to the same seed without EasyCache")
    print(f"{'threshold':>9} {'passes':>7} {'CPU s':>7} {'of the time':>12} {'PSNR dB':>8} {'latent error':>13}")
    base = sum(row[0] for row in rows[0.0])
    for threshold, found in rows.items():
        seconds, count, decibel, away = (sum(column) / len(found) for column in zip(*found, strict=True))
        share = seconds * len(found) / base
        print(f"{threshold:9.2f} {count:7.1f} {seconds:7.2f} {share:12.2f} {decibel:8.2f} {away:13.3f}", flush=True)


if __name__ == "__main__":
    main()
