"""The diffusion transformer: noisy spacetime patches and text in, clean patches out."""

from .model import DiT

__all__ = ["DiT"]
