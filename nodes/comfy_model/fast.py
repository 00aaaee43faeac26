"""Where nobody in ComfyUI chose otherwise, the same float32 numbers by the processor's faster library."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import comfy.ldm.modules.attention as attention
import torch
import torch.nn.functional as F
from comfy.cli_args import args as flags
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sora_core.products import linear, outruns_default


class FasterProducts(TorchFunctionMode):
    """Takes over products where ComfyUI's layers make them: after it has moved, cast and patched their weights."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return (linear if function is F.linear else function)(*args, **(kwargs or {}))


def faster_products(x: Tensor) -> AbstractContextManager[Any]:
    """For a pass over `x`: `FasterProducts` where that is a gain, and nothing for compilers and other devices."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or not outruns_default():
        return nullcontext()
    return FasterProducts()


def attention_is_ours_to_choose(q: Tensor, options: dict[str, Any]) -> bool:
    """Whether attention over `q` would be what ComfyUI falls back to on a processor, asked for by no flag or block.

    That one splits scores into pieces to save memory; ours needs no more memory and takes half of the time.
    """
    return (
        q.device.type == "cpu"
        and attention.optimized_attention is attention.attention_sub_quad
        and not getattr(flags, "use_quad_cross_attention", False)
        and "optimized_attention_override" not in options
    )
