"""One forward pass of our transformer against other video transformers of equal width, depth and token grid.

python benchmarks/denoiser.py --shapes 512x4 256x10 --tokens 256 1280 4096
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from denoiser_peers import ALL, CHANNELS, Task, peers
from pairing import Contestants, machine, randomised, ratio, settle, spread, turns
from torch import Tensor, nn

from sora_core import empty_layers
from sora_core.config import DiTConfig
from sora_core.dit import DiT
from sora_core.dit.attention import attend
from sora_core.patches import Segments
from sora_core.products import dense_attention, linear, outruns_default, whole_width
from sora_core.shapes import Compression

GRIDS = {256: (1, 16, 16), 1280: (5, 16, 16), 4096: (16, 16, 16)}
Seconds = dict[str, list[float]]
OURS, PLAIN, BARE, BARE_PLAIN = "ours", "ours, PyTorch's defaults", "bare", "bare, PyTorch's defaults"


def plain_attention(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """What `attend` does where PyTorch's own attention is the fastest there is."""
    q, k, v = (x.unflatten(0, (len(segments.lengths), -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)


def transformer(task: Task, operations: Any, attention: Any) -> DiT:
    config = DiTConfig(
        channels=CHANNELS, width=task.width, depth=task.depth, heads=task.heads,
        hidden=-(-task.width * 8 // 3 // 64) * 64, text_width=task.text_width, text_tokens=task.text,
    )  # fmt: skip
    net = DiT(config, Compression(time=4, space=8), operations=operations, attention=attention)
    return randomised(net)  # type: ignore[return-value]


def forward(net: DiT, task: Task) -> Callable[[], Tensor]:
    x, sigma, states, mask = task.latent, torch.tensor([0.5]), task.states, torch.ones(1, task.text)
    return lambda: net(x, sigma, states, mask)


def bare_work(net: DiT, run: Callable[[], Tensor]) -> list[tuple[str, tuple[Tensor, ...]]]:
    """The matrix products and attention calls of one forward pass, with operands of the same shapes."""
    work: list[tuple[str, tuple[Tensor, ...]]] = []

    def product(layer: nn.Linear, inputs: tuple[Tensor]) -> None:
        work.append(("linear", (torch.randn(inputs[0].shape), layer.weight)))

    hooks = [m.register_forward_pre_hook(product) for m in net.modules() if isinstance(m, nn.Linear)]
    block, attention = net.blocks[0], net.blocks[0].attention

    def seen(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
        operands = tuple(torch.randn(1, q.shape[1], q.shape[0], q.shape[2]) for _ in range(3))
        work.extend([("attention", operands)] * len(net.blocks))
        return attention(q, k, v, segments)

    block.attention = seen
    with torch.inference_mode():
        run()
    block.attention = attention
    for hook in hooks:
        hook.remove()
    return work


def do(work: list[tuple[str, tuple[Tensor, ...]]], product: Any, attention: Any) -> Callable[[], None]:
    def run() -> None:
        for kind, operands in work:
            (product if kind == "linear" else attention)(*operands)

    return run


def measure_compiled(task: Task, count: int, chosen: list[str]) -> Seconds:
    """Print the table of one task with every network compiled by PyTorch's default compiler, and return its seconds."""
    field: Contestants = {OURS: compiled(forward(transformer(task, nn, attend), task))}
    others = {name: compiled(call) for name, call in peers(task, chosen).items()}
    seconds = turns({**field, **others}, count)  # the turn that nobody counts compiles
    print(f"\ncompiled, width {task.width}, depth {task.depth}, {task.tokens} visual + {task.text} text, {count} turns")
    for name in (OURS, *others):
        print(f"{name:26} {1000 * spread(seconds[name]).middle:8.1f} CPU ms   {ratio(seconds, OURS, name)}", flush=True)
    return seconds


def compiled(call: Callable[[], Any]) -> Callable[[], Any]:
    return torch.compile(call, dynamic=False)  # type: ignore[no-any-return]


def measure(task: Task, count: int, chosen: list[str]) -> Seconds:
    """Print the table of one task, and return the CPU seconds of every contestant in every turn."""
    fast = transformer(task, empty_layers, attend)
    plain = transformer(task, nn, plain_attention)
    ours, default = forward(fast, task), forward(plain, task)
    with torch.inference_mode():
        assert (ours() - default()).abs().max() < 1e-5, "the fast route changed the result"
    work = bare_work(fast, ours)
    field: Contestants = {
        OURS: ours, PLAIN: default, BARE: do(work, linear, dense_attention),
        BARE_PLAIN: do(work, F.linear, F.scaled_dot_product_attention),
    }  # fmt: skip
    others = peers(task, chosen)
    seconds = turns({**field, **others}, count)
    print(f"\nwidth {task.width}, depth {task.depth}, {task.tokens} visual + {task.text} text tokens, {count} turns")
    print(f"{'contestant':26} {'CPU ms':>8}   ours / theirs (quartiles)   ours with PyTorch's defaults / theirs")
    for name in (OURS, PLAIN, *others):
        milliseconds = 1000 * spread(seconds[name]).middle
        print(f"{name:26} {milliseconds:8.1f}   {ratio(seconds, OURS, name)!s:26}  {ratio(seconds, PLAIN, name)}")
    print(f"of the time, bare products and attention: {ratio(seconds, BARE, OURS)}")
    print(f"the same with PyTorch's defaults:         {ratio(seconds, BARE_PLAIN, PLAIN)}")
    if others:
        best = min(others, key=lambda name: spread(seconds[name]).middle)
        print(f"best peer: {best}; ours takes {ratio(seconds, OURS, best).middle:.2f} of its time", flush=True)
    return seconds


def cost_against_tokens(shape: str, text: int, measured: dict[int, Seconds]) -> None:
    """Print what a token costs as grids grow, ours and everybody's, in CPU microseconds of one forward pass."""
    print(f"\ncost against tokens, {shape}: CPU microseconds for each of the visual and {text} text tokens")
    print(f"{'contestant':26}" + "".join(f"{tokens:>10}" for tokens in measured))
    names = [n for n in next(iter(measured.values())) if n not in (BARE, BARE_PLAIN)]
    for name in names:
        costs = (1e6 * spread(seconds[name]).middle / (tokens + text) for tokens, seconds in measured.items())
        print(f"{name:26}" + "".join(f"{cost:10.0f}" for cost in costs), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["512x4", "256x10"], help="width x depth")
    parser.add_argument("--tokens", nargs="+", type=int, default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--text", type=int, default=32, help="text tokens that every model reads")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=ALL, choices=ALL, metavar="NAME", help=f"of {', '.join(ALL)}")
    parser.add_argument("--compiled", action="store_true", help="torch.compile every network: minutes for each")
    options = parser.parse_args()
    settle()
    print(machine())
    print("peers: F.linear and SDPA, as PyTorch chooses (ComfyUI with --use-pytorch-cross-attention)")
    route = "oneDNN products" if outruns_default() else "PyTorch's products"
    route += " and attention by tiles" if whole_width() else " and attention"
    print(f"ours: {route} (sora_core/products.py), and with PyTorch's defaults beside it")
    for shape in options.shapes:
        width, depth = map(int, shape.split("x"))
        run = measure_compiled if options.compiled else measure
        tasks = {tokens: Task(width, depth, GRIDS[tokens], options.text) for tokens in options.tokens}
        measured = {tokens: run(task, options.turns, options.peers) for tokens, task in tasks.items()}
        cost_against_tokens(shape, options.text, measured)


if __name__ == "__main__":
    main()
