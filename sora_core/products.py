"""Float32 products for inference on processors where PyTorch's default library leaves part of the machine unused.

PyTorch multiplies float32 matrices with MKL, which keeps AMD processors on their AVX2 units. oneDNN, which PyTorch also
carries, uses AVX-512 there: the same exact float32 products, a tenth faster where the units behind are half as wide
(Zen 4) and twice as fast where they are not (Zen 5). benchmarks/denoiser.py prints both.
"""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS = 256
"""Queries whose scores are computed at once: small enough for the cache, large enough for a full-speed product."""
_LONG = 512
"""Tokens from which products by tiles beat PyTorch's own attention."""


@lru_cache(maxsize=1)
def outruns_default() -> bool:
    """Whether oneDNN is the faster library here. Decided by what the processor is, so that runs repeat exactly."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return "AuthenticAMD" in _processor()


@lru_cache(maxsize=1)
def whole_width() -> bool:
    """Whether AVX-512 has units of its whole width: only then do tiles outrun PyTorch's own attention."""
    family = re.search(r"(?:cpu family\s*:|Family) (\d+)", _processor())
    return outruns_default() and family is not None and int(family[1]) >= 26  # 26: Zen 5


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    return described.read_text() if described.is_file() else platform.processor()


def plain(*tensors: Tensor | None) -> bool:
    """Whether these are float32 numbers on the CPU with nothing to differentiate, trace or cast on the way."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    watched = torch.is_grad_enabled()
    for x in tensors:
        if x is not None and (x.dtype != torch.float32 or x.device.type != "cpu" or (watched and x.requires_grad)):
            return False
    return True


def applies(*tensors: Tensor | None) -> bool:
    """Whether these tensors can take the fast route: plain ones, on a processor where it is the faster one."""
    return plain(*tensors) and outruns_default()


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, `... d` -> `... out`, through the faster library where that is possible."""
    if applies(x, weight, bias):
        return _product(x, weight, bias)
    return F.linear(x, weight, bias)


def convolution(layer: nn.Conv3d, x: Tensor) -> Tensor:
    """What `layer` makes of `b c t h w`; PyTorch leaves small inputs and 1x1x1 kernels to a library half as fast."""
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str) or not applies(x, layer.weight, layer.bias):
        return nn.Conv3d.forward(layer, x)
    if layer.kernel_size == (1, 1, 1) and layer.stride == (1, 1, 1) and layer.groups == 1 and not any(layer.padding):
        rows = x.permute(0, 2, 3, 4, 1).contiguous()  # no copy when channels are last already
        return _product(rows, layer.weight.flatten(1), layer.bias).permute(0, 4, 1, 2, 3)
    return torch.mkldnn_convolution(
        x, layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation, layer.groups
    )


def dense_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Full attention within each sequence, `b heads n d` -> `b heads n d`, exact.

    Long sequences on a processor of `whole_width` go by tiles of queries, as in FlashAttention (Dao et al., 2022), but
    with all keys of a tile at once, so that each tile is two plain products.
    """
    if q.shape[-2] < _LONG or not (applies(q, k, v) and whole_width()):
        return F.scaled_dot_product_attention(q, k, v)
    b, heads, n, d = q.shape
    q, k = (q * d**-0.5).contiguous().view(-1, n, d), k.contiguous().view(b * heads, -1, d)
    v = v.transpose(-1, -2).contiguous().view(b * heads, d, -1)
    out = q.new_empty(b, n, heads, d)
    for i in range(b * heads):
        target = out[i // heads, :, i % heads]
        for start in range(0, n, _ROWS):
            rows = slice(start, start + _ROWS)
            scores = _product(q[i, rows], k[i])
            torch.softmax(scores, dim=-1, out=scores)
            target[rows] = _product(scores, v[i])
    return out.transpose(1, 2)


def keep_pages() -> None:
    """Let the allocator keep the memory of large temporary tensors instead of returning it after every operation.

    glibc raises its limits to the size of the largest block that was ever given back; without that, two live
    temporaries of a megabyte make elementwise operations ten times slower by page faults. Costs nothing elsewhere.
    """
    torch.empty(31 << 20, dtype=torch.uint8)
