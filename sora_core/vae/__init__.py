"""The video compression network and what streams through it."""

from .layers import StreamState
from .model import VideoVAE

__all__ = ["StreamState", "VideoVAE"]
