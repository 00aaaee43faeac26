"""Training states on disk: everything that a bit-exact resume needs, in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..tensor_files import save_tensors
from .parallel import rank
from .sharding import gathered, is_sharded, own, own_rows

STATE = "state.safetensors"
"""The file in a run's folder that the run continues from."""


def save_state(path: Path, module: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer, step: int,
               about: dict[str, Any]) -> None:  # fmt: skip
    """Save weights, their moving average and the optimiser at the end of `step` steps.

    All processes call this together: process 0 writes, and what is sharded comes to it tensor by tensor.
    """
    names: dict[Tensor, str] = {p: name for name, p in module.named_parameters()}
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.items()}
    for parameter, state in optimizer.state.items():
        tensors |= {f"optimizer.{names[parameter]}.{key}": value for key, value in state.items()}
    for name, value in tensors.items():
        if is_sharded(value):
            whole = gathered(own(value), len(value))
            tensors[name] = torch.empty(0) if whole is None else whole.cpu()
    if rank() == 0:
        save_tensors(tensors, path, {"step": str(step), "about": json.dumps(about, sort_keys=True)})


def load_state(
    path: Path, module: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> tuple[int, dict[str, Any]]:
    """Restore what `save_state` wrote, in place; returns the step and `about`. Raises ValueError when it does not fit.

    Of what is sharded, only the rows of this process are read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
            step, about = int(metadata["step"]), json.loads(metadata.get("about", "{}"))
            _check_fit(path, file, [name.removeprefix("model.") for name in names if name.startswith("model.")], module)
            for name, value in module.state_dict().items():
                _read(file, f"model.{name}", value)
            for name, value in ema.items():
                _read(file, f"ema.{name}", value)
            for name, parameter in module.named_parameters():
                prefix = f"optimizer.{name}."
                for key in (key.removeprefix(prefix) for key in names if key.startswith(prefix)):
                    if "." not in key:
                        # Counts are read at every step, so they stay where reading costs nothing.
                        value = torch.zeros(()) if key == "count" else torch.zeros_like(parameter)
                        _read(file, prefix + key, value)
                        optimizer.state[parameter][key] = value
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is damaged or no training state: {error}; delete it to begin anew") from None
    return step, about


def _check_fit(path: Path, file: Any, names: list[str], module: nn.Module) -> None:
    """Raise ValueError naming the first tensor that the module or the state lacks, or that has another shape."""
    found = {name: tuple(file.get_slice(f"model.{name}").get_shape()) for name in names}
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    for name in [*expected, *found]:
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"{path.name} holds {found.get(name, 'nothing')} for {name}; this configuration needs"
                f" {expected.get(name, 'nothing')}"
            )


def _read(file: Any, name: str, into: Tensor) -> None:
    """Fill a tensor, or this process's rows of it."""
    part = own(into)
    if not is_sharded(into):
        part.copy_(file.get_tensor(name))
    elif len(part):  # of more processes than rows some hold none, which safetensors would call out of bounds
        part.copy_(file.get_slice(name)[own_rows(into)])
