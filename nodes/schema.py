"""Descriptions of blocks that use what the installed ComfyUI knows and leave out what it does not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from comfy_api.latest import io

from .compat import takes

CATEGORY = "Sora"


def schema(**fields: Any) -> io.Schema:
    """An `io.Schema`; fields that this ComfyUI does not know are left out.

    One of them is `has_intermediate_output`, for blocks whose panel shows what they made: newer versions tell a page
    that was loaded again what the cache holds of it.
    """
    return io.Schema(
        **{"category": CATEGORY} | {name: value for name, value in fields.items() if takes(io.Schema, name)}
    )


def chosen(what: str, value: Any, choices: Collection[str]) -> Any:
    """The choice of an input. Raises ValueError for none of them: ComfyUI looks neither at what other blocks give, nor,
    in older versions, at what API prompts say.
    """
    if value not in choices:
        raise ValueError(f"{what} is {value!r}; choose {', '.join(choices)}")
    return value


def advanced(kind: Any, name: str, **fields: Any) -> Any:
    """An input that newer versions fold away until it is asked for."""
    if takes(kind.Input.__init__, "advanced"):
        fields["advanced"] = True
    return kind.Input(name, **fields)
