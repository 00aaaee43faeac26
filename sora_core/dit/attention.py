"""Full attention within each sequence of a packed row, behind one function."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..patches import Segments


def attend(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """`n heads d` queries, keys and values of a packed row -> `n heads d`; a sequence sees only itself."""
    if len(segments.lengths) > 1 and not segments.uniform:
        lengths = torch.tensor(segments.lengths)
        return packed_attention(q, k, v, lengths)[0]
    return _dense(q, k, v, len(segments.lengths))


def _dense(q: Tensor, k: Tensor, v: Tensor, batch: int) -> Tensor:
    # (b n) h d -> b h n d and back
    q, k, v = (x.unflatten(0, (batch, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)


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
        a, b, c = (x[rows].unflatten(0, (count, length)).transpose(1, 2) for x in (q, k, v))
        if q.device.type == "cpu":
            y, s = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(a, b, c)
            lse[rows] = s.view(count, q.shape[1], length).transpose(1, 2).flatten(0, 1)
        else:
            y = F.scaled_dot_product_attention(a, b, c)
        out[rows] = y.transpose(1, 2).flatten(0, 1)
    return out, lse


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
        g, a, b, c, y = (x[rows].unflatten(0, (count, length)).transpose(1, 2) for x in (grad, q, k, v, out))
        if q.device.type == "cpu":
            s = lse[rows].unflatten(0, (count, length)).transpose(1, 2)
            parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(g, a, b, c, y, s, 0.0, False)
        else:
            with torch.enable_grad():
                leaves = [x.detach().requires_grad_() for x in (a, b, c)]
                parts = torch.autograd.grad(F.scaled_dot_product_attention(*leaves), leaves, g)
        for target, part in zip(result, parts, strict=True):
            target[rows] = part.transpose(1, 2).flatten(0, 1)
    return result


@packed_attention_backward.register_fake
def _(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, lengths: Tensor):
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:3], *output, inputs[3])


def _backward(ctx, grad: Tensor, _: Tensor):
    q, k, v, out, lse, lengths = ctx.saved_tensors
    return *packed_attention_backward(grad.contiguous(), q, k, v, out, lse, lengths), None


packed_attention.register_autograd(_backward, setup_context=_save)
