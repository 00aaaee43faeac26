"""From training states to trained parts, and to one model file with the averaged weights in half precision."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..checkpoint import BUNDLED, build_parts, check_weights, read_checkpoint, save_checkpoint
from ..config import SoraConfig, preset
from ..text.encoder import TextEncoder
from ..vae import VideoVAE
from .state import STATE

TOKENS = 4096
"""Tokens in a batch of the transformer, unless its training says otherwise."""
INNER = {"vae": "", "text": "encoder.", "dit": "dit."}
"""Where in its training's module each part is."""
MODULATION = ("noise_entry.", "noise_out.")
"""The layers of the transformer that scale and shift all patches alike, by their noise levels."""


def averaged_weights(state: Path, inner: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The moving average in a training state, below the module `inner`, and what the state says about itself.

    Raises FileNotFoundError, or ValueError when the file is no training state.
    """
    if not state.is_file():
        raise FileNotFoundError(f"there is no training state {state}")
    prefix = f"ema.{inner}"
    try:
        with safe_open(state, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            # Copies: Windows replaces no file that is mapped to memory, and the training may go on beside this.
            weights = {name.removeprefix(prefix): file.get_tensor(name).clone() for name in names}
    except SafetensorError as error:
        raise ValueError(f"{state} is damaged or not a safetensors file: {error}") from None
    if "step" not in metadata or not weights:
        raise ValueError(f"{state} is not a training state: it holds no averaged weights {prefix}*")
    return weights, {"step": int(metadata["step"]), **json.loads(metadata.get("about", "{}"))}


def trained_parts(
    config: SoraConfig, vae_run: Path | None, text_run: Path | None, base: Path | None = None
) -> tuple[VideoVAE, TextEncoder]:
    """The VAE and the text encoder to train a transformer with: from their runs, or else from `base`, or the bundled.

    Raises FileNotFoundError, or ValueError naming the first tensor that does not fit `config`.
    """
    vae, text = trained_vae(config, vae_run, base), _trained("text", config, text_run, base)
    assert isinstance(text, TextEncoder)
    return vae, text


def trained_vae(config: SoraConfig, run: Path | None, base: Path | None = None) -> VideoVAE:
    """The VAE alone, for what reads no text. Raises what `trained_parts` raises."""
    vae = _trained("vae", config, run, base)
    assert isinstance(vae, VideoVAE)
    vae.restore_buffers("cpu")
    return vae


def _trained(part: str, config: SoraConfig, run: Path | None, base: Path | None) -> nn.Module:
    module, inner = build_parts(config, device="meta")[part], INNER[part]
    if run is not None:
        path = run / STATE
        weights = averaged_weights(path, inner)[0]
    else:
        path = base or BUNDLED
        found = read_checkpoint(path)
        if getattr(found.config, part) != getattr(config, part):
            raise ValueError(
                f"the preset {config.name} has another {part} network than {path.name}; train one and give its run"
                f" with --{part}"
            )
        weights = found.parts[part]
    check_weights(str(path), inner, module.state_dict(), weights)
    module.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return module.eval().requires_grad_(False)


def export(
    states: Mapping[str, Path], preset_name: str | None, out: Path, base: Path | None = None, blend: float = 1.0,
    average: Sequence[Path] = (), keep_modulation: bool = False,
) -> None:  # fmt: skip
    """Write a model file in half precision from the training states of its parts: vae, text and dit.

    `base` is the model file that the trainings started from; parts without a state are its own, and so is
    the configuration unless a preset is named. With a `blend` below 1 the weights are that share of the trained ones
    and for the rest those of `base`, which often beats both (Wortsman et al., "Robust fine-tuning of zero-shot
    models", 2022). With `keep_modulation` the transformer's `MODULATION` is that of `base`. The transformer is the
    mean of itself and of those of the model files `average` (Kaddour, "Stop wasting my time!", 2022). The header says
    how long each part was trained.
    Raises FileNotFoundError, or ValueError naming the first tensor that does not fit the preset or the parts missing;
    for a blend without a base, without a training or outside 0 to 1; for a modulation to keep without both; and for
    either with a training that began with random weights instead of the base's.
    """
    if not 0 < blend <= 1 or (blend < 1 and base is None):
        raise ValueError(
            f"blend is {blend:g}; it must be above 0 and at most 1, and below 1 needs a base to blend with"
        )
    if blend < 1 and not states:
        raise ValueError(f"blend is {blend:g}, but no training was given to blend with the base; leave it out")
    if keep_modulation and (base is None or "dit" not in states):
        raise ValueError("the modulation to keep is a base's, beside a training of the transformer; give both")
    start = None if base is None else read_checkpoint(base)
    config = preset(preset_name or "mini") if start is None or preset_name else start.config
    missing = [part for part in INNER if part not in states]
    if start is None and missing:
        raise ValueError(f"there is no training of {' and '.join(missing)}; give its run or a model file that has it")
    parts = {} if start is None else dict(start.parts)
    about = {} if start is None else json.loads(start.metadata.get("about", "{}"))
    expected = build_parts(config, device="meta")
    for part, path in states.items():
        parts[part], trained = averaged_weights(path, INNER[part])
        check_weights(str(path), f"ema.{INNER[part]}", expected[part].state_dict(), parts[part])
        kept = {name for name in parts[part] if keep_modulation and part == "dit" and name.startswith(MODULATION)}
        if start is not None and (blend < 1 or kept):
            if trained.get("fresh"):
                raise ValueError(
                    f"{path} began with random weights, not with {base}, so no blend of both is of use; leave out"
                    " --blend and --keep-modulation, and give files from along that training with --average"
                )
            check_weights(str(base), "", expected[part].state_dict(), start.parts[part])
            parts[part] = {
                name: start.parts[part][name].float().lerp(value.float(), blend * (name not in kept))
                for name, value in parts[part].items()
            }
        # Of what began with random weights, nothing was learnt before.
        earlier = {} if trained.get("fresh") else about
        before = f"{earlier[part]}, then " if part in earlier else ""
        about[part] = f"{before}{trained['step']:,} steps" + (f", blended at {blend:g}" if blend < 1 else "")
        about[part] += ", modulation kept" if kept else ""
        if part == "dit":
            # States of older versions do not say so, but all were trained with these numbers.
            tokens = trained["step"] * trained.get("slots", 1) * trained.get("tokens", TOKENS)
            about["tokens"] = f"{int(earlier.get('tokens', '0').replace(',', '')) + tokens:,}"
    for part in missing:
        check_weights(str(base), "", expected[part].state_dict(), parts[part])
    if average:
        parts["dit"] = _mean(parts["dit"], average)
        about["dit"] = f"{about.get('dit', 'trained')}, averaged with {', '.join(path.stem for path in average)}"
    save_checkpoint(out, config, parts, about=about)


def _mean(weights: dict[str, Tensor], files: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of a transformer and of those of other model files."""
    models = [weights]
    for path in files:
        models.append(read_checkpoint(path).parts["dit"])
        check_weights(str(path), "", weights, models[-1])
    return {name: torch.stack([model[name].float() for model in models]).mean(0) for name in weights}
