"""Attention of sequences of different lengths in one packed row, as one operation with a gradient of its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..patches import Segments


def _runs(lengths: Tensor) -> list[tuple[int, int, int]]:
    return Segments(tuple(lengths.tolist())).groups()


@torch.library.custom_op("sora::packed_attention", mutates_args=())
def packed_attention(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of a packed row `n heads d` whose sequences have `lengths`; also the log-sum-exp, `n heads`.

    One opaque operation, so that a compiled training step serves every mixture of sizes with one graph.
    """
    out, lse = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)
    for start, count, length in _runs(lengths):
        rows = slice(start, start + count * length)
        a, b, c = (_batch(x[rows], count) for x in (q, k, v))
        # For short sequences the processor multiplies whole matrices faster than tiles of them.
        if q.dtype == torch.float32 or length > 1024:
            y = F.scaled_dot_product_attention(a, b, c)
            lse[rows] = _row(_scores(a, b).logsumexp(-1)) if length <= 1024 else 0
        else:
            scores = _scores(a, b)
            total = scores.logsumexp(-1, keepdim=True)
            y = (scores - total).exp_().to(c.dtype) @ c
            lse[rows] = _row(total.squeeze(-1))
        out[rows] = _row(y)
    return out, lse


def _batch(x: Tensor, count: int) -> Tensor:
    # (count length) heads d -> count heads length d
    return x.unflatten(0, (count, -1)).transpose(1, 2)


def _row(x: Tensor) -> Tensor:
    # The inverse of _batch, with or without d.
    return x.transpose(1, 2).flatten(0, 1)


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return (q @ k.transpose(-1, -2)).float().mul_(q.shape[-1] ** -0.5)


@packed_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)


@torch.library.custom_op("sora::packed_attention_backward", mutates_args=())
def packed_attention_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `packed_attention` for its queries, keys and values."""
    result = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    for start, count, length in _runs(lengths):
        rows = slice(start, start + count * length)
        g, a, b, c, y = (_batch(x[rows], count) for x in (grad, q, k, v, out))
        if length > 1024:
            with torch.enable_grad():
                leaves = [x.detach().requires_grad_() for x in (a, b, c)]
                y = F.scaled_dot_product_attention(leaves[0], leaves[1], leaves[2])
                parts = torch.autograd.grad(y, leaves, g)
        else:
            weights = (_scores(a, b) - _batch(lse[rows], count).unsqueeze(-1)).exp_()
            delta = (g * y).sum(-1, keepdim=True, dtype=torch.float32)
            inner = ((g @ c.transpose(-1, -2)).float() - delta).mul_(weights).mul_(q.shape[-1] ** -0.5).to(q.dtype)
            parts = inner @ b, inner.transpose(-1, -2) @ a, weights.to(g.dtype).transpose(-1, -2) @ g
        for target, part in zip(result, parts, strict=True):
            target[rows] = _row(part)
    return result


@packed_attention_backward.register_fake
def _(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3], *output, inputs[3])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    q, k, v, out, lse, lengths = ctx.saved_tensors
    return *packed_attention_backward(grad.contiguous(), q, k, v, out, lse, lengths), None


packed_attention.register_autograd(_backward, setup_context=_save)
