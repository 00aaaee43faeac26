"""Training states on disk: one safetensors file that is whole or absent, and everything a bit-exact resume needs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..files import whole_or_absent
from .parallel import rank
from .sharding import gathered, is_sharded, own, own_rows

STATE = "state.safetensors"
"""The file in a run's folder that the run continues from."""
LOCK = ".lock"
"""The file in a run's folder that a process holds while it trains there."""


def save_atomically(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file under a temporary name, flush it to disk, then rename: never half a file.

    Raises OSError when it cannot be written.
    """
    # safetensors writes beside its target first, for the owner alone: what a kill leaves has our name around it.
    with (
        whole_or_absent(path) as temporary,
        TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=".part") as folder,
    ):
        inside = Path(folder) / path.name
        inside.touch()
        mode = inside.stat().st_mode
        try:
            save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, inside, metadata)
        except SafetensorError as error:  # of no kind that others would expect
            raise OSError(f"{path} cannot be written: {error}") from None
        inside.chmod(mode)
        inside.rename(temporary)


@contextmanager
def own_folder(run: Path) -> Iterator[None]:
    """Within the block a run's folder is this command's alone, without what killed ones left half written there.

    Of processes that train together, process 0 holds it. Raises ValueError when nothing can be written there, or when
    another command trains there: each would save over what the other has learnt.
    """
    if rank() > 0:
        yield
        return
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = (run / LOCK).open("wb")
    except OSError as error:
        raise ValueError(f"{run} cannot be written: {error.strerror}; choose another folder") from None
    with lock:
        if not _hold(lock):
            raise ValueError(f"another process trains in {run}; let it end, or choose another folder")
        for left in (*run.glob(f".{STATE}.*.part"), *run.glob("latents_*/.*.part")):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
        yield


def _hold(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed, or its process ends in whatever way; False when another one holds it.

    File systems without locks count as free.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


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
        save_atomically(tensors, path, {"step": str(step), "about": json.dumps(about, sort_keys=True)})


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
        raise ValueError(f"{path} is damaged or no training state: {error}") from None
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
    own(into).copy_(file.get_slice(name)[own_rows(into)] if is_sharded(into) else file.get_tensor(name))
