"""A long video while it is made, on disk: after each window one file that is whole, from which a killed run goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..training.state import save_atomically


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
    """The latent so far in a .safetensors file; `identity` is everything that decides the video, in one string."""

    def __init__(self, path: Path, identity: str):
        self.path, self.identity = Path(path), identity

    def load(self, latent: Tensor) -> int:
        """Fill the beginning of `latent` (`b c t h w`) with what is done, and return the number of windows done.

        Raises ValueError for a file that is damaged or belongs to another video.
        """
        if not self.path.exists():
            return 0
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
                windows, identity, done = int(about["windows"]), about["identity"], file.get_tensor("latent_tensor")
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise ValueError(f"{self.path.name} is damaged or no state of a long video: {error}; delete it") from None
        fits = done.shape[:2] == latent.shape[:2] and done.shape[3:] == latent.shape[3:]
        if identity != self.identity or not fits or done.shape[2] > latent.shape[2]:
            raise ValueError(
                f"{self.path.name} is the state of a video with other settings; delete it or choose another file"
            )
        latent[:, :, : done.shape[2]] = done.to(latent)
        return windows

    def save(self, latent: Tensor, windows: int) -> None:
        """Replace the file by one with the latent so far. Raises ValueError when the disk is full or read-only."""
        about = {"windows": str(windows), "identity": self.identity}
        try:
            save_atomically({"latent_tensor": latent}, self.path, about)
        except OSError as error:
            raise ValueError(f"{self.path} cannot be written: {error}; make room there and run again") from None

    def delete(self) -> None:
        """Forget the run, once its latent is safe elsewhere."""
        self.path.unlink(missing_ok=True)
