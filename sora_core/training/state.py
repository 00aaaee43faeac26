"""Training states on disk: one safetensors file that is whole or absent, and everything a bit-exact resume needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..files import whole_or_absent

STATE = "state.safetensors"
"""The file in a run's folder that the run continues from."""


def save_atomically(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file under a temporary name, flush it to disk, then rename: never half a file.

    Raises OSError when it cannot be written.
    """
    with whole_or_absent(path) as temporary:
        try:
            save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, temporary, metadata)
        except SafetensorError as error:  # of no kind that others would expect
            raise OSError(f"{path} cannot be written: {error}") from None


def save_state(path: Path, module: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer, step: int,
               about: dict[str, Any]) -> None:  # fmt: skip
    """Save weights, their moving average and the optimiser at the end of `step` steps."""
    names: dict[Tensor, str] = {p: name for name, p in module.named_parameters()}
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.items()}
    for parameter, state in optimizer.state.items():
        tensors |= {f"optimizer.{names[parameter]}.{key}": value for key, value in state.items()}
    save_atomically(tensors, path, {"step": str(step), "about": json.dumps(about, sort_keys=True)})


def load_state(path: Path, module: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer | None) -> int:
    """Restore what `save_state` wrote, in place, and return the step. Raises ValueError when it does not fit."""
    try:
        with safe_open(path, framework="pt") as file:
            step = int((file.metadata() or {})["step"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is damaged or no training state: {error}") from None
    model = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    expected = module.state_dict()
    for name, value in expected.items():
        if name not in model or model[name].shape != value.shape:
            found = tuple(model[name].shape) if name in model else "nothing"
            raise ValueError(f"{path.name} holds {found} for {name}; this configuration needs {tuple(value.shape)}")
    module.load_state_dict(model)
    for name in ema:
        ema[name].copy_(tensors[f"ema.{name}"])
    if optimizer is not None:
        for name, parameter in module.named_parameters():
            prefix = f"optimizer.{name}."
            saved = {key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)}
            saved = {key: v for key, v in saved.items() if "." not in key}
            if saved:
                # Counts are read at every step, so they stay where reading costs nothing.
                optimizer.state[parameter] = {k: v.to(parameter.device) if v.ndim else v for k, v in saved.items()}
    return step
