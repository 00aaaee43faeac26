"""Which arithmetic a machine trains fastest in: bfloat16 products where the processor has them, float32 elsewhere."""

from __future__ import annotations

import contextlib
from typing import Any

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 numbers run natively on this device."""
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def mixed(device: torch.device) -> Any:
    """Autocast to bfloat16 where it is native; elsewhere a context that does nothing."""
    if has_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
