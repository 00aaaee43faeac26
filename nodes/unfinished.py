"""Work in progress on disk, so that neither a full memory nor a killed server loses it: output/sora_unfinished."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import folder_paths
import torch
from torch import Tensor

from sora_core.editing.long_state import fingerprint
from sora_core.stored_latent import NAME
from sora_core.tensor_files import save_tensors


def unfinished(name: str) -> Path:
    """A file in the folder of work in progress."""
    # The temporary folder would not do: ComfyUI empties it when it starts.
    return Path(folder_paths.get_output_directory()) / "sora_unfinished" / name


@contextmanager
def kept(latent: Tensor) -> Iterator[Path]:
    """A file that the stock Load Latent block reads holds `latent` until the block ends well; then it is deleted."""
    path = unfinished(f"{fingerprint([latent])}.latent")
    try:
        save_tensors({NAME: latent, "latent_format_version_0": torch.tensor([])}, path, {})
    except OSError as error:
        # What is to be done with the latent may well succeed without a copy of it.
        logging.warning("Sora: the latent cannot be kept in %s: %s", path.parent, error)
    try:
        yield path
    except BaseException:
        if path.exists():
            logging.warning("Sora: the latent is kept in %s; Load Latent reads it from the input folder", path)
        raise
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logging.warning("Sora: %s is no longer needed and cannot be deleted: %s", path, error)
