"""A transformer too large for one card: each process keeps its rows of every matrix in the blocks (PyTorch's FSDP2).

The blocks hold nearly all weights. What is outside of them is whole in every process, as without sharding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .parallel import rank, shared_out, world

if TYPE_CHECKING:
    from ..dit import DiT


def shard_blocks(dit: DiT, device: torch.device) -> None:
    """Divide the blocks of a transformer that was built on "meta" among all processes and give it memory on `device`.

    Its weights are not set. Each block is whole only while it computes; gradients are summed over the processes.
    Raises ValueError when there is but one process.
    """
    refuse_one_process()
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (world(),))
    for block in dit.blocks:
        divided = fully_shard(block, mesh=mesh, reshard_after_forward=True)
        divided.set_gradient_divide_factor(1.0)
        divided.set_force_sum_reduction_for_comms(True)
    inside = set(dit.blocks.parameters())
    # The transformer as the root of its blocks, so that one is fetched while another computes.
    fully_shard(dit, mesh=mesh, ignored_params={p for p in dit.parameters() if p not in inside})
    register_fsdp_forward_method(dit, "trunk")
    dit.to_empty(device=device)


def refuse_one_process() -> None:
    """Raise ValueError when there is nobody to divide a model with."""
    if world() == 1:
        raise ValueError("--shard divides a model among processes and there is one; start several with torchrun")


def refuse_uneven(slots: int) -> None:
    """Raise ValueError unless processes that divide a model have equally many `slots`: none can compute one alone."""
    if slots % world():
        raise ValueError(
            f"--slots is {slots} and --shard divides a model among {world()} processes, which must compute equally many"
            f" batches; give a multiple of {world()}"
        )


def is_sharded(tensor: Tensor) -> bool:
    """Whether each process holds only some rows of this tensor: a DTensor, whose class takes long to import."""
    return hasattr(tensor, "to_local")


@torch.no_grad()
def own(tensor: Tensor) -> Tensor:
    """The rows of a sharded tensor that this process holds, in their memory; other tensors as they are."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def own_rows(tensor: Tensor) -> slice:
    """Which rows of the whole of a sharded tensor those are."""
    first = -(-len(tensor) // world()) * rank()
    return slice(min(first, len(tensor)), min(first, len(tensor)) + len(own(tensor)))


def fill(tensor: Tensor, whole: Tensor) -> None:
    """Give a tensor the values of a `whole` one of its shape, or this process's rows of them."""
    own(tensor.detach()).copy_(whole[own_rows(tensor)] if is_sharded(tensor) else whole)


def clip_gradients(parameters: Sequence[nn.Parameter], most: float) -> Tensor:
    """Scale all gradients so that their common norm is at most `most`; returns the norm that they had."""
    if not any(is_sharded(p) for p in parameters):
        return nn.utils.clip_grad_norm_(parameters, most, error_if_nonfinite=False)
    parts = [own(p.grad) for p in parameters if p.grad is not None and is_sharded(p)]
    wholes = [p.grad for p in parameters if p.grad is not None and not is_sharded(p)]
    square = nn.utils.get_total_norm(parts).square()
    dist.all_reduce(square)
    norm = (square + nn.utils.get_total_norm(wholes).square()).sqrt()
    torch._foreach_mul_([*parts, *wholes], (most / (norm + 1e-6)).clamp(max=1.0))
    return norm


def gathered(part: Tensor, rows: int, to: int = 0) -> Tensor | None:
    """In process `to` the whole of a tensor of so many `rows` that lie in parts in all processes; None in the others.

    All of them must call this together.
    """
    padded = _padded(part, -(-rows // world()))
    parts = [torch.empty_like(padded) for _ in range(world())] if rank() == to else None
    dist.gather(padded, parts, dst=to)
    return None if parts is None else torch.cat(parts)[:rows]


def spread(whole: Tensor | None, part: Tensor, rows: int, source: int) -> None:
    """The inverse: fill every process's `part` from the `whole` in process `source`."""
    each = -(-rows // world())
    padded = part.new_empty(each, *part.shape[1:])
    parts = None if whole is None else list(_padded(whole, each * world()).split(each))
    dist.scatter(padded, parts, src=source)
    part.copy_(padded[: len(part)])


def of_whole_matrices(
    function: Callable[[Tensor], Tensor], parts: Sequence[Tensor], parameters: Sequence[Tensor]
) -> list[Tensor]:
    """`function`, which keeps shapes, of matrices whose `parts` are divided as `parameters` are: parts of the results.

    Processes share out the work; of matrices that are in parts, each holds one whole at a time.
    """
    whole = [i for i, p in enumerate(parameters) if not is_sharded(p)]
    results = dict(zip(whole, shared_out(function, [parts[i] for i in whole]), strict=True))
    divided = [i for i, p in enumerate(parameters) if is_sharded(p)]
    for first in range(0, len(divided), world()):
        turn = list(enumerate(divided[first : first + world()]))
        # All are handed out before any is computed, or the processes would compute one after another.
        matrices = [gathered(parts[i], len(parameters[i]), to=owner) for owner, i in turn]
        made = [None if matrix is None else function(matrix) for matrix in matrices]
        for owner, i in turn:
            results[i] = torch.empty_like(parts[i])
            spread(made[owner], results[i], len(parameters[i]), owner)
    return [results[i] for i in range(len(parts))]


def _padded(part: Tensor, rows: int) -> Tensor:
    return torch.cat([part, part.new_zeros(rows - len(part), *part.shape[1:])])
