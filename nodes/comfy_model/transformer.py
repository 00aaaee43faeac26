"""Sora's transformer inside ComfyUI: its layers, attention, block patches and wrappers, and its velocity contract."""

from __future__ import annotations

from typing import Any

import comfy.patcher_extension
import torch
import torch.nn.functional as F
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from sora_core.config import SoraConfig
from sora_core.diffusion.process import to_velocity
from sora_core.dit import DiT
from sora_core.dit.attention import attend as own_attention
from sora_core.dit.block import Block, RowContext
from sora_core.patches import Segments

from .fast import attention_is_ours_to_choose, faster_products

NOISY, SIGMA = "sora_noisy", "sora_sigma"
"""Keys of transformer_options: the latent in full precision, and its global noise level."""
PART = "sora_part"
"""Key of transformer_options for a part of a longer video: when it begins in seconds, and whether in the middle."""
CIRCULAR = "sora_circular"
"""Key of transformer_options, true for a loop: time runs in a circle, and no frame is the first."""
DEFAULT_FPS = 8.0


def attend(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """Attention of a row of equal sequences, `n heads d`, through whatever backend the user chose."""
    options = segments.host or {}
    if attention_is_ours_to_choose(q, options):
        return own_attention(q, k, v, segments)
    batch, heads = len(segments.lengths), q.shape[1]
    q, k, v = (x.unflatten(0, (batch, -1)).transpose(1, 2) for x in (q, k, v))  # b heads n d
    out = optimized_attention(q, k, v, heads, skip_reshape=True, transformer_options=options)
    return out.unflatten(-1, (heads, -1)).flatten(0, 1)


def whole_patches(x: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """`b c t h w` with its last frame, row and column repeated until it is a whole number of patches."""
    missing = [-size % p for size, p in zip(x.shape[2:], patch, strict=True)]
    if not any(missing):
        return x
    t, h, w = missing
    return F.pad(x, (0, w, 0, h, 0, t), mode="replicate")


class ComfyDiT(DiT):
    """The network that ComfyUI loads, casts, offloads, patches and calls."""

    def __init__(
        self, sora: SoraConfig, *, dtype: Any = None, device: Any = None, operations: Any = None, **unknown: Any
    ):
        super().__init__(
            sora.dit, sora.vae.compression, operations=operations, attention=attend, dtype=dtype, device=device
        )
        self.dtype = dtype
        self.patch_size = sora.dit.patch
        self.in_channels = sora.dit.channels
        """Which channels guidance acts on, for RenormCFG."""

    def forward(  # type: ignore[override]
        self, x: Tensor, timestep: Tensor, context: Tensor, transformer_options: dict[str, Any], **conds: Any
    ) -> Tensor:
        """Velocity in float32, `b c t h w`. `timestep` is a noise level in [0, 1]: `b`, or `b n` for each patch."""
        kinds = comfy.patcher_extension.WrappersMP
        return comfy.patcher_extension.WrapperExecutor.new_class_executor(
            self.velocity, self, comfy.patcher_extension.get_all_wrappers(kinds.DIFFUSION_MODEL, transformer_options)
        ).execute(x, timestep, context, transformer_options=transformer_options, **conds)

    def velocity(
        self, x: Tensor, timestep: Tensor, context: Tensor, transformer_options: dict[str, Any],
        attention_mask: Tensor | None = None, frame_rate: float = DEFAULT_FPS, **unused: Any,
    ) -> Tensor:  # fmt: skip
        """The clean prediction as the velocity that every stock sampler and model patch expects.

        Both subtraction and division are in float32 with the latent before it was cast: in bfloat16 the detour over
        the velocity would cost 0.03 of the prediction.
        """
        size = x.shape[2:]
        start, continued = transformer_options.get(PART, (0.0, False))
        with faster_products(x):
            denoised = super().forward(
                whole_patches(x, self.patch_size), timestep, context, self._mask(context, attention_mask),
                fps=frame_rate, start=start, continued=continued, circular=transformer_options.get(CIRCULAR, False),
                host=transformer_options,
            )  # fmt: skip
        denoised = denoised[:, :, : size[0], : size[1], : size[2]].float()
        return to_velocity(transformer_options[NOISY].float(), denoised, transformer_options[SIGMA].float())

    def _mask(self, context: Tensor, mask: Tensor | None) -> Tensor:
        """Which token states count, `b l`; stock blocks that join prompts leave a mask of the wrong length behind."""
        if context.shape[-1] != self.config.text_width:
            raise ValueError(
                f"the conditioning is {context.shape[-1]} numbers wide and this Sora model reads"
                f" {self.config.text_width}: encode the prompt with the CLIP that came with the model"
            )
        if mask is not None and mask.shape == context.shape[:2]:
            return mask.bool()
        return context.abs().amax(-1) > 0

    def run_block(self, index: int, block: Block, x: Tensor, shared: Tensor, row: RowContext) -> Tensor:
        options = row.segments.host or {}
        replace = options.get("patches_replace", {}).get("dit", {}).get(("double_block", index))
        if replace is None:
            return super().run_block(index, block, x, shared, row)
        words = self.config.text_tokens

        def original(args: dict[str, Any]) -> dict[str, Tensor]:
            joined = torch.cat([args["txt"], args["img"]], dim=1).flatten(0, 1)
            return halves(block(joined, args["vec"], row))

        def halves(joined: Tensor) -> dict[str, Tensor]:
            sequences = joined.unflatten(0, (len(row.segments.lengths), -1))  # b words+n d
            return {"txt": sequences[:, :words], "img": sequences[:, words:]}

        args = {**halves(x), "vec": shared, "pe": (row.cos, row.sin), "transformer_options": options}
        out = replace(args, {"original_block": original})
        return torch.cat([out["txt"], out["img"]], dim=1).flatten(0, 1)
