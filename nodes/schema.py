"""Descriptions of blocks that use what the installed ComfyUI knows and leave out what it does not."""

from __future__ import annotations

import inspect
from typing import Any

from comfy_api.latest import io

CATEGORY = "Sora"


def schema(**fields: Any) -> io.Schema:
    """An `io.Schema`; fields that this ComfyUI does not know are left out."""
    known = inspect.signature(io.Schema).parameters
    return io.Schema(**{"category": CATEGORY} | {name: value for name, value in fields.items() if name in known})


def advanced(kind: Any, name: str, **fields: Any) -> Any:
    """An input that newer versions fold away until it is asked for."""
    if "advanced" in inspect.signature(kind.Input.__init__).parameters:
        fields["advanced"] = True
    return kind.Input(name, **fields)
