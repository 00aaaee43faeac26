"""A long video while it is made, on disk: a file for each window, from which a killed run goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..stored_latent import NAME
from ..tensor_files import save_tensors


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """A short name for the contents of tensors, the same in every process."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def weights_fingerprint(*modules: nn.Module) -> str:
    """A short name for trained networks, from the beginning of every weight: nothing large is read."""
    return fingerprint(weight.flatten()[:64] for module in modules for weight in module.parameters())


class LongState:
    """What is done of a long latent: a folder with a file for each window, and at the end one .safetensors file of all.

    `identity` is everything that decides the video, in one string.
    """

    def __init__(self, path: Path, identity: str):
        self.path, self.identity = Path(path), identity
        self.windows = self.path.with_suffix(".windows")

    def kept(self) -> Path | None:
        """Where something lies of a run that has not been forgotten."""
        return next((path for path in (self.path, self.windows) if path.exists()), None)

    def load(self, latent: Tensor) -> int:
        """Fill the beginning of `latent` (`b c t h w`) with what is done, and return the number of windows done.

        Raises ValueError for a file that is damaged or belongs to another video.
        """
        if self.path.exists():
            return self._read(self.path, latent)
        done = 0
        while (part := self._part(done)).exists():
            self._read(part, latent)
            done += 1
        return done

    def save(self, made: Tensor, start: int, number: int) -> None:
        """Keep the latent frames from `start` on that window `number` made, on disk when this returns.

        Raises ValueError when the disk is full or read-only.
        """
        self._write(made, self._part(number), start, number + 1)

    def finish(self, latent: Tensor, windows: int) -> None:
        """Put the whole latent of so many windows in the place of the windows' files; raises what `save` does."""
        if not self.path.exists():
            self._write(latent, self.path, 0, windows)
        shutil.rmtree(self.windows, ignore_errors=True)

    def delete(self) -> None:
        """Forget the run, once its latent is safe elsewhere."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.windows, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self.windows / f"{number:05d}.safetensors"

    def _read(self, path: Path, latent: Tensor) -> int:
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                windows, identity, made = int(about["windows"]), about["identity"], file.get_tensor(NAME)
                start = int(about.get("start", "0"))
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise ValueError(f"{path} is damaged or no state of a long video: {error}; delete it") from None
        fits = made.shape[:2] == latent.shape[:2] and made.shape[3:] == latent.shape[3:]
        if identity != self.identity or not fits or start + made.shape[2] > latent.shape[2]:
            where = path.parent.name if path.parent == self.windows else path.name
            raise ValueError(f"{where} is the state of a video with other settings; delete it or choose another file")
        latent[:, :, start : start + made.shape[2]] = made.to(latent)
        return windows

    def _write(self, made: Tensor, path: Path, start: int, windows: int) -> None:
        about = {"windows": str(windows), "identity": self.identity, "start": str(start)}
        try:
            save_tensors({NAME: made}, path, about)
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error}; make room there, or allow writing") from None
