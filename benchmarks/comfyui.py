"""One forward pass of our transformer inside ComfyUI, with and without the fast route, next to ComfyUI's own models.

python benchmarks/comfyui.py --shape 256x10 --tokens 256 1280
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from denoiser import GRIDS
from denoiser_peers import CHANNELS, COMFY, Task
from in_comfyui import adapter, prepare
from pairing import Contestants, machine, randomised, ratio, settle, spread, turns

from sora_core.config import DiTConfig, preset
from sora_core.products import outruns_default

FAST, CHOSEN = "ours", "ours, all as ComfyUI chooses"


def ours(task: Task, module: ModuleType, operations: Any) -> Callable[[], Any]:
    """A pass of the adapter as ComfyUI's model calls it: the velocity, from the latent in full precision."""
    mini = preset("mini")
    dit = DiTConfig(
        channels=CHANNELS, width=task.width, depth=task.depth, heads=task.heads,
        hidden=-(-task.width * 8 // 3 // 64) * 64, text_width=task.text_width, text_tokens=task.text,
    )  # fmt: skip
    config = replace(mini, dit=dit, vae=replace(mini.vae, channels=CHANNELS))
    net = randomised(module.ComfyDiT(config, dtype=torch.float32, operations=operations))
    x, sigma, states = task.latent, torch.tensor([0.5]), task.states
    options = {module.NOISY: x, module.SIGMA: sigma}
    return lambda: net(x, sigma, states, dict(options))


def as_comfyui_chooses(module: ModuleType, call: Callable[[], Any]) -> Callable[[], Any]:
    """The same pass where neither products nor attention are taken over."""

    def run() -> Any:
        kept = module.faster_products, module.attention_is_ours_to_choose
        module.faster_products, module.attention_is_ours_to_choose = (lambda _: nullcontext()), (lambda *_: False)
        try:
            return call()
        finally:
            module.faster_products, module.attention_is_ours_to_choose = kept

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="256x10", help="width x depth")
    parser.add_argument("--tokens", nargs="+", type=int, default=[256, 1280], choices=list(GRIDS))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=list(COMFY), choices=list(COMFY))
    options = parser.parse_args()
    settle()
    prepare(pytorch_attention=False)
    import comfy.ops

    module, operations = adapter(), comfy.ops.disable_weight_init
    print(machine())
    print(
        f"attention as ComfyUI chooses it; faster products: {'yes' if outruns_default() else 'none on this processor'}"
    )
    width, depth = map(int, options.shape.split("x"))
    for tokens in options.tokens:
        task = Task(width, depth, GRIDS[tokens], 32)
        fast = ours(task, module, operations)
        field: Contestants = {FAST: fast, CHOSEN: as_comfyui_chooses(module, fast)}
        with torch.inference_mode():
            difference = float((field[FAST]() - field[CHOSEN]()).abs().max())  # type: ignore[operator]
        field |= {f"ComfyUI {name}": COMFY[name](task, operations) for name in options.peers}
        seconds = turns(field, options.turns)
        print(f"\nwidth {width}, depth {depth}, {tokens} visual + 32 text tokens, {options.turns} turns")
        print(f"{'contestant':30} {'CPU ms':>8}   ours / theirs (quartiles)")
        for name in field:
            print(f"{name:30} {1000 * spread(seconds[name]).middle:8.1f}   {ratio(seconds, FAST, name)}")
        print(f"largest difference between the two routes: {difference:.1e} of a velocity")


if __name__ == "__main__":
    main()
