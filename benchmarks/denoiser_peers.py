"""Other people's video transformers at a given width, depth and grid, each as a forward pass ready to be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from in_comfyui import prepare
from pairing import Contestants, absent_is_fine, randomised

HEAD_DIM = 64
CHANNELS = 16


@dataclass(frozen=True)
class Task:
    """What every contestant does: one forward pass over `grid` patches (`t h w`) of 1x2x2 cells and `text` tokens."""

    width: int
    depth: int
    grid: tuple[int, int, int]
    text: int
    text_width: int = 192

    @property
    def heads(self) -> int:
        return self.width // HEAD_DIM

    @property
    def tokens(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def latent(self) -> torch.Tensor:
        t, h, w = self.grid
        return torch.randn(1, CHANNELS, t, 2 * h, 2 * w, generator=torch.Generator().manual_seed(1))

    @property
    def states(self) -> torch.Tensor:
        return torch.randn(1, self.text, self.text_width, generator=torch.Generator().manual_seed(2))


def peers(task: Task, chosen: list[str]) -> Contestants:
    """Every peer of those `chosen` that is installed here."""
    found: Contestants = {}
    with absent_is_fine("diffusers"):
        for name, build in DIFFUSERS.items():
            if f"diffusers-{name}" in chosen:
                found[f"diffusers {name}"] = build(task)
    with absent_is_fine("ComfyUI"):
        operations = comfyui_operations()
        for name, build_with in COMFY.items():
            if f"ComfyUI-{name}" in chosen:
                found[f"ComfyUI {name}"] = build_with(task, operations)
    return found


def _diffusers_wan(task: Task) -> Callable[[], Any]:
    from diffusers import WanTransformer3DModel

    net = randomised(WanTransformer3DModel(
        num_attention_heads=task.heads, attention_head_dim=HEAD_DIM, in_channels=CHANNELS, out_channels=CHANNELS,
        text_dim=task.text_width, ffn_dim=4 * task.width, num_layers=task.depth, rope_max_seq_len=64,
    ))  # fmt: skip
    x, states, t = task.latent, task.states, torch.tensor([500])
    return lambda: net(x, t, states)


def _diffusers_ltx(task: Task) -> Callable[[], Any]:
    from diffusers import LTXVideoTransformer3DModel

    channels = 4 * CHANNELS
    net = randomised(LTXVideoTransformer3DModel(
        in_channels=channels, out_channels=channels, num_attention_heads=task.heads, attention_head_dim=HEAD_DIM,
        cross_attention_dim=task.width, num_layers=task.depth, caption_channels=task.text_width,
    ))  # fmt: skip
    x, states, t = torch.randn(1, task.tokens, channels), task.states, torch.tensor([500])
    mask, (frames, height, width) = torch.ones(1, task.text), task.grid
    return lambda: net(x, states, t, mask, num_frames=frames, height=height, width=width)


def _diffusers_cogvideox(task: Task) -> Callable[[], Any]:
    from diffusers import CogVideoXTransformer3DModel

    frames, height, width = task.grid
    net = randomised(CogVideoXTransformer3DModel(
        num_attention_heads=task.heads, attention_head_dim=HEAD_DIM, in_channels=CHANNELS, out_channels=CHANNELS,
        text_embed_dim=task.text_width, num_layers=task.depth, sample_width=2 * width, sample_height=2 * height,
        sample_frames=4 * frames - 3, max_text_seq_length=task.text, use_rotary_positional_embeddings=True,
    ))  # fmt: skip
    x, states, t = task.latent.transpose(1, 2).contiguous(), task.states, torch.tensor([500])
    rotary = (torch.randn(task.tokens, HEAD_DIM), torch.randn(task.tokens, HEAD_DIM))
    return lambda: net(x, states, t, image_rotary_emb=rotary)


def _diffusers_hunyuan(task: Task) -> Callable[[], Any]:
    from diffusers import HunyuanVideoTransformer3DModel

    double = max(1, task.depth // 3)  # as in the released model: one third of the blocks
    net = randomised(HunyuanVideoTransformer3DModel(
        in_channels=CHANNELS, out_channels=CHANNELS, num_attention_heads=task.heads, attention_head_dim=HEAD_DIM,
        num_layers=double, num_single_layers=task.depth - double, guidance_embeds=False,
        text_embed_dim=task.text_width, pooled_projection_dim=task.text_width, rope_axes_dim=(16, 24, 24),
    ))  # fmt: skip
    x, states, t = task.latent, task.states, torch.tensor([500])
    mask, pooled = torch.ones(1, task.text, dtype=torch.long), torch.randn(1, task.text_width)
    return lambda: net(x, t, states, mask, pooled)


def _diffusers_mochi(task: Task) -> Callable[[], Any]:
    from diffusers import MochiTransformer3DModel

    net = randomised(MochiTransformer3DModel(
        num_attention_heads=task.heads, attention_head_dim=HEAD_DIM, num_layers=task.depth, in_channels=CHANNELS,
        pooled_projection_dim=task.width // 2, text_embed_dim=task.text_width, max_sequence_length=task.text,
    ))  # fmt: skip
    x, states, t = task.latent, task.states, torch.tensor([500])
    mask = torch.ones(1, task.text, dtype=torch.bool)
    return lambda: net(x, states, t, mask)


DIFFUSERS = {
    "LTX": _diffusers_ltx,
    "Wan": _diffusers_wan,
    "CogVideoX": _diffusers_cogvideox,
    "HunyuanVideo": _diffusers_hunyuan,
    "Mochi": _diffusers_mochi,
}


def comfyui_operations() -> Any:
    """ComfyUI's layers, with PyTorch's attention rather than the slower one that it prefers on a CPU.

    Raises ImportError when no ComfyUI has been set up (`make demo` does).
    """
    prepare(pytorch_attention=True)
    import comfy.ops

    return comfy.ops.disable_weight_init


def _comfy_wan(task: Task, operations: Any) -> Callable[[], Any]:
    from comfy.ldm.wan.model import WanModel

    net = randomised(WanModel(
        dim=task.width, ffn_dim=4 * task.width, num_heads=task.heads, num_layers=task.depth, in_dim=CHANNELS,
        out_dim=CHANNELS, text_dim=task.text_width, dtype=torch.float32, operations=operations,
    ))  # fmt: skip
    x, states, t = task.latent, task.states, torch.tensor([500.0])
    return lambda: net(x, t, states)


def _comfy_ltx(task: Task, operations: Any) -> Callable[[], Any]:
    from comfy.ldm.lightricks.model import LTXVModel

    channels = 4 * CHANNELS
    net = randomised(LTXVModel(
        in_channels=channels, cross_attention_dim=task.width, attention_head_dim=HEAD_DIM,
        num_attention_heads=task.heads, caption_channels=task.text_width, num_layers=task.depth,
        dtype=torch.float32, operations=operations,
    ))  # fmt: skip
    x, states, t = torch.randn(1, channels, *task.grid), task.states, torch.tensor([0.5])
    return lambda: net(x, t, states, None)


def _comfy_hunyuan(task: Task, operations: Any) -> Callable[[], Any]:
    from comfy.ldm.hunyuan_video.model import HunyuanVideo

    double = max(1, task.depth // 3)
    net = randomised(HunyuanVideo(
        in_channels=CHANNELS, out_channels=CHANNELS, vec_in_dim=task.text_width, context_in_dim=task.text_width,
        hidden_size=task.width, mlp_ratio=4.0, num_heads=task.heads, depth=double,
        depth_single_blocks=task.depth - double, axes_dim=[16, 24, 24], theta=256, patch_size=[1, 2, 2],
        qkv_bias=True, guidance_embed=False, byt5=False, meanflow=False, use_cond_type_embedding=False,
        vision_in_dim=None, dtype=torch.float32, operations=operations,
    ))  # fmt: skip
    x, states, t, pooled = task.latent, task.states, torch.tensor([0.5]), torch.randn(1, task.text_width)
    return lambda: net(x, t, states, pooled)


COMFY = {"Wan": _comfy_wan, "LTX": _comfy_ltx, "HunyuanVideo": _comfy_hunyuan}
ALL = [f"diffusers-{name}" for name in DIFFUSERS] + [f"ComfyUI-{name}" for name in COMFY]
