"""One .safetensors file per model, in the layout ComfyUI's own loaders expect, validated before any weight is used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .config import SoraConfig, from_json, to_json
from .tensor_files import read_tensors, save_tensors

PREFIXES = {"dit": "model.diffusion_model.", "vae": "vae.", "text": "text_encoders.sora."}
"""Where the weights of each part are."""
CONFIG_BUFFER = "sora_config"
"""Name, under the transformer's and the VAE's prefix, of a uint8 tensor with the configuration as JSON.

The header's metadata says the same, but programs that save a loaded model drop it.
"""
MARKERS = {
    "adaln_single.emb.timestep_embedder.linear_1.bias": torch.zeros(1),
    "transformer_blocks.0.attn2.to_k.weight": torch.zeros(1, 1),
}
"""Tensors without meaning under the transformer's prefix.

ComfyUI's own loaders ask a registered model family only about files in which they find names that they know; with
these two they ask ours, which then reads the configuration.
"""
BUNDLED = Path(__file__).parent / "weights" / "sora-mini.safetensors"
"""The model that comes with the package."""


@dataclass(frozen=True)
class Checkpoint:
    """A validated file: its configuration, and the weights of each part by their names within it."""

    config: SoraConfig
    parts: dict[str, dict[str, Tensor]]
    metadata: dict[str, str]


def config_tensor(config: SoraConfig) -> Tensor:
    """The configuration as a uint8 tensor that survives every program that copies tensors."""
    return torch.tensor(list(to_json(config).encode()), dtype=torch.uint8)


def config_from_tensor(tensor: Tensor) -> SoraConfig:
    """The inverse of `config_tensor`. Raises ValueError when it is damaged."""
    return from_json(SoraConfig, bytes(tensor.to(torch.uint8).tolist()))


def build_parts(config: SoraConfig, device: Any = None) -> dict[str, nn.Module]:
    """New networks of a configuration, their weights not set; device "meta" costs no memory."""
    from . import empty_layers
    from .dit import DiT
    from .text.encoder import TextEncoder
    from .vae import VideoVAE

    return {
        "dit": DiT(config.dit, config.vae.compression, operations=empty_layers, device=device),
        "vae": VideoVAE(config.vae, operations=empty_layers, device=device),
        "text": TextEncoder(config.text, operations=empty_layers, device=device),
    }


def save_checkpoint(
    path: Path, config: SoraConfig, parts: dict[str, dict[str, Tensor]], *, about: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:  # fmt: skip
    """Write a model. `parts` maps dit, vae and text to their weights; `about` goes to the header as JSON."""
    tensors = {
        PREFIXES[part] + name: value.to(dtype) for part, weights in parts.items() for name, value in weights.items()
    }
    for part in ("dit", "vae"):
        tensors[PREFIXES[part] + CONFIG_BUFFER] = config_tensor(config)
    tensors |= {PREFIXES["dit"] + name: value for name, value in MARKERS.items()}
    save_tensors(tensors, path, {"sora": to_json(config), "about": json.dumps(about or {}, sort_keys=True)})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check a model file.

    Raises FileNotFoundError, or ValueError with one sentence naming the tensor that is missing, unexpected, of the
    wrong shape or not finite, or saying that the file is damaged or of another family.
    """
    if path.is_dir():
        raise FileNotFoundError(f"{path} is a folder, not a checkpoint; give the name of a file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    tensors, metadata = read_tensors(path)
    key = PREFIXES["dit"] + CONFIG_BUFFER
    if key not in tensors and "sora" not in metadata:
        raise ValueError(f"{path.name} is not a Sora checkpoint: it holds no {key}")
    config = config_from_tensor(tensors[key]) if key in tensors else from_json(SoraConfig, metadata["sora"])
    parts = split_parts(tensors)
    for part, module in build_parts(config, device="meta").items():
        check_weights(path.name, PREFIXES[part], module.state_dict(), parts[part])
    return Checkpoint(config, parts, metadata)


def split_parts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Sort a file's tensors into dit, vae and text, without their prefixes, configuration buffers and markers."""
    aside = {prefix + CONFIG_BUFFER for prefix in PREFIXES.values()} | {PREFIXES["dit"] + name for name in MARKERS}
    return {
        part: {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix) and name not in aside
        }
        for part, prefix in PREFIXES.items()
    }


def check_weights(file: str, prefix: str, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """Raise ValueError naming the first tensor that is missing, unexpected, of a wrong shape or kind, or not finite."""
    for name, value in expected.items():
        if name not in found:
            raise ValueError(f"{file} is incomplete: it holds no tensor {prefix}{name}")
        tensor = found[name]
        if tensor.shape != value.shape:
            raise ValueError(
                f"{file}: tensor {prefix}{name} is {tuple(tensor.shape)}; its configuration needs {tuple(value.shape)}"
            )
        if not tensor.is_floating_point():
            raise ValueError(f"{file}: tensor {prefix}{name} is {tensor.dtype}; weights must be floating point")
        # PyTorch does not know whether numbers of 8 bits are finite.
        if not torch.isfinite(tensor.float() if tensor.itemsize == 1 else tensor).all():
            raise ValueError(f"{file}: tensor {prefix}{name} holds NaN or infinite weights")
    for name in found:
        if name not in expected:
            raise ValueError(f"{file}: tensor {prefix}{name} belongs to no part of its configuration")
