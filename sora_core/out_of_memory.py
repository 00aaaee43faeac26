"""Whether an error means that memory ran out, on any device: PyTorch says it differently on CPUs."""

from __future__ import annotations

import torch

_ON_CPU = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at a time may succeed where this error was raised."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ON_CPU)
