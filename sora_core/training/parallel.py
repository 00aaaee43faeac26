"""Training in several processes at once: each takes some slots of every step, and gradients are summed between steps.

Without `torchrun` there is one process, and everything here costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(days=1)
"""How long a process waits for the others; torchrun ends them all when one fails, so waiting hides no fault."""
_FAR = 2**32


def own_card() -> int | None:
    """The number of the card that this process is to take on its machine; None where it is the only process."""
    return dist.get_node_local_rank() if _launched() else None


def _launched() -> bool:
    # PyTorch may have been built without this part, for Windows with AMD cards for instance: then it is empty.
    return dist.is_available() and dist.is_torchelastic_launched()


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def processes(device: torch.device | None = None) -> Iterator[None]:
    """Within the block this process trains with the others that torchrun started, if it did, on `device` or the CPU."""
    started = _launched() and not _initialized()
    card = None if device is None or device.type == "cpu" else device
    if started and card is not None:
        # Gradients go from card to card; figures and step numbers are few and stay on the CPU.
        backends = f"cpu:gloo,{card.type}:{dist.get_default_backend_for_device(card)}"
        torch.accelerator.set_device_index(card)
        dist.init_process_group(backends, timeout=PATIENCE, device_id=card)
    elif started:
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
        # What one process sent last must arrive before it hangs up.
        wait_for_all()
    finally:
        if started:
            dist.destroy_process_group()


def rank() -> int:
    """The number of this process; 0 is the one that reports, saves and draws."""
    return dist.get_rank() if _initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _initialized() else 1


def own_slots(slots: int) -> range:
    """The slots of every step that this process computes. Raises ValueError when a process would have none."""
    if slots < world():
        raise ValueError(f"--slots is {slots} and {world()} processes train together; give --slots {world()} or more")
    return range(rank(), slots, world())


def batch_number(step: int, slot: int) -> int:
    """What a task draws its data from: a different number for each step and slot, whatever the number of slots.

    Slot 0 of a step is numbered as the step, so a run goes on unchanged when slots are added to it.
    """
    return step + slot * _FAR


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its sum over all processes; a parameter no process used keeps none."""
    if world() == 1:
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    users = gradients[0].new_tensor([p.grad is not None for p in parameters])
    flat = torch.cat([users, *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(flat)
    users, *sums = flat.split([len(parameters), *(p.numel() for p in parameters)])
    for p, gradient, total, used in zip(parameters, gradients, sums, users.tolist(), strict=True):
        p.grad = gradient.copy_(total.view_as(gradient)) if used else None


def shared_out(function: Callable[[Tensor], Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """`function`, which keeps shapes, of every input: all processes give the same inputs and each computes some."""
    if world() == 1:
        return [function(x) for x in inputs]
    load = [0] * world()
    owners = {}
    for i in sorted(range(len(inputs)), key=lambda i: -inputs[i].numel()):
        owners[i] = load.index(min(load))
        load[owners[i]] += inputs[i].numel()
    flat = inputs[0].new_zeros(sum(load))
    parts = [part.view_as(x) for part, x in zip(flat.split([x.numel() for x in inputs]), inputs, strict=True)]
    for i, part in enumerate(parts):
        if owners[i] == rank():
            part.copy_(function(inputs[i]))
    dist.all_reduce(flat)
    return parts


def agree_on_start(step: int, parameters: Sequence[Tensor]) -> None:
    """Give all processes the weights of process 0. Raises ValueError when they would start at different steps."""
    if world() == 1:
        return
    steps = [torch.zeros((), dtype=torch.int64) for _ in range(world())]
    dist.all_gather(steps, torch.tensor(step))
    if len({int(s) for s in steps}) > 1:
        found = ", ".join(str(int(s)) for s in steps)
        raise ValueError(f"processes would start at steps {found}; all of them must see the same --out folder")
    for parameter in parameters:
        dist.broadcast(parameter.detach(), src=0)


def sum_figures(figures: dict[str, float]) -> dict[str, float]:
    """Sums over all processes of figures that need not have the same names everywhere."""
    if world() == 1:
        return figures
    # As JSON in a tensor: PyTorch's own exchange of objects would unpickle what it receives.
    text = json.dumps(figures).encode()
    lengths = [torch.zeros((), dtype=torch.int64) for _ in range(world())]
    dist.all_gather(lengths, torch.tensor(len(text)))
    longest = max(int(n) for n in lengths)
    texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(world())]
    dist.all_gather(texts, torch.tensor(list(text.ljust(longest)), dtype=torch.uint8))
    total: dict[str, float] = {}
    for part in texts:
        for name, value in json.loads(bytes(part.tolist())).items():
            total[name] = total.get(name, 0.0) + value
    return total


def wait_for_all() -> None:
    """Return when every process has come here."""
    if world() > 1:
        dist.barrier()


@contextmanager
def process_0_first() -> Iterator[None]:
    """Process 0 runs the block before all others, for instance to write a file that they read."""
    if rank() > 0:
        wait_for_all()
    yield
    if rank() == 0:
        wait_for_all()
