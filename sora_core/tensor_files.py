"""Tensors on disk: safetensors files that are whole or absent, and one sentence about those that are neither."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .files import rename, temporary_name, whole_or_absent


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file under a temporary name, flush it to disk, then rename: never half a file.

    Raises OSError when it cannot be written.
    """
    # safetensors writes beside its target first, for the owner alone: what a kill leaves has our name around it.
    with (
        whole_or_absent(path) as temporary,
        TemporaryDirectory(dir=path.parent, prefix=temporary_name(path), suffix=".part") as folder,
    ):
        inside = Path(folder) / "whole"  # Windows counts the letters of all folders on the way, 260 at most
        inside.touch()
        mode = inside.stat().st_mode
        try:
            save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, inside, metadata)
        except SafetensorError as error:  # of no kind that others would expect
            raise OSError(f"{path} cannot be written: {error}") from None
        inside.chmod(mode)
        rename(inside, temporary)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file by name, and what its header says. Raises ValueError for a damaged file or another kind."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} is damaged or not a safetensors file: {error}") from None


def fits(weights: Mapping[str, Tensor], module: nn.Module) -> bool:
    """Whether weights are those of a module: the same names and shapes."""
    expected = {name: value.shape for name, value in module.state_dict().items()}
    return {name: value.shape for name, value in weights.items()} == expected
