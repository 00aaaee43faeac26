"""One window of a long video, sampled by ComfyUI: its part of the conditions, its noise and its progress."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import comfy.sample
import comfy.utils
import latent_preview
import torch
from torch import Tensor

from sora_core.diffusion.conditioning import Known
from sora_core.editing.long import SampleWindow, Window
from sora_core.randomness import generator

from .comfy_model.transformer import PART
from .compat import fit_for_hooks
from .editing_fit import with_images
from .editing_wrap import CELLS, check_guides
from .guider import IntervalGuider, guided_levels
from .sample import check_levels
from .sampling_inputs import sampler_of


def conditions_in(conditioning: Any, window: Window, latent_frames: int) -> Any:
    """Conditions of the whole video for one window: what is per latent frame is cut, prompts of other times go.

    Raises ValueError for guides of LTX-Video if there is more than one window.
    """
    kept = []
    for states, options in conditioning:
        if len(window.cells) < latent_frames:
            check_guides(options)
        mask = options.get("mask")
        changed = {name: in_window(value, window, latent_frames) for name, value in options.items()}
        if isinstance(mask, Tensor) and mask.ndim in (3, 4) and mask.shape[-3] == latent_frames:
            changed["mask"] = mask[..., window.prompt_cells, :, :]
            if not changed["mask"].any():
                continue
        if isinstance(start := options.get("time_dim_replace"), Tensor):
            changed["time_dim_replace"] = beginning_in(start, window)
        if isinstance(sound := options.get("audio_embed"), Tensor):
            changed["audio_embed"] = heard_in(sound, window, latent_frames)
        for area in areas_in(options.get("area"), window, latent_frames):
            kept.append([states, changed if area is None else {**changed, "area": area}])
    return kept


def areas_in(area: Any, window: Window, latent_frames: int) -> list[Any]:
    """Where in a window an area of the whole video lies: nowhere, once, or twice where a loop closes.

    Areas with a duration are ("percentage", t, h, w, z, y, x); all others hold for every window.
    """
    if area is None or len(area) != 7 or area[0] != "percentage":
        return [area]
    count, first = max(1, round(area[1] * latent_frames)), round(area[4] * latent_frames)
    cells = window.prompt_cells
    found: list[Any] = []
    for inside, run in groupby(range(len(cells)), lambda i: first <= cells[i] < first + count):
        places = list(run)
        if inside:
            share, start = len(places) / len(cells), places[0] / len(cells)
            found.append(("percentage", share, *area[2:4], start, *area[5:]))
    return found


def beginning_in(start: Tensor, window: Window) -> Tensor | None:
    """As much of a given beginning `b c t h w` as a window begins with.

    Kandinsky 5 puts it in the place of the first latent frames, whichever they are.
    """
    count = sum(place == cell for place, cell in enumerate(window.cells[: start.shape[2]]))
    return start[:, :, :count] if count else None


def heard_in(sound: Tensor, window: Window, latent_frames: int) -> Tensor:
    """What is heard in a window: Wan's S2V has four parts `b l c 4t` for each latent frame, HuMo one, `b t w l c`."""
    cells = torch.tensor(window.cells)
    if sound.ndim == 4:
        parts = (4 * cells[:, None] + torch.arange(4)).flatten()
        return sound[..., parts.clamp(max=sound.shape[-1] - 1)]
    return sound[:, cells] if sound.ndim == 5 and sound.shape[1] == latent_frames else sound


def in_window(value: Any, window: Window, latent_frames: int) -> Any:
    """A tensor `b c t h w` of the whole video, or a list of them, for one window; anything else as it is."""
    if isinstance(value, list):
        return [in_window(part, window, latent_frames) for part in value]
    whole = isinstance(value, Tensor) and value.ndim == 5 and value.shape[2] == latent_frames
    return value[:, :, window.cells] if whole else value


def showing(conditioning: Any, known: Known) -> Any:
    """Conditions of a window that tell models with image inputs what the window takes over, too."""
    return conditioning if bool((known.mask == 1).all()) else with_images(known, conditioning)[0]


def window_seed(seed: int, number: int) -> int:
    """Another seed for each window; the first keeps its own, so that it is what Sora Sampler makes."""
    return generator(seed, "window", number).initial_seed() if number else seed


def window_sampler(
    model: Any, positive: Any, negative: Any, sigmas: Tensor, count: int, *, seed: int, guidance: float, sampler: str,
    latent_frames: int, start: Any, index: Any, first: int = 0,
) -> SampleWindow:  # fmt: skip
    """Samples one of `count` windows, numbered from `first` on, with ComfyUI's own sampling and progress over all.

    Raises ValueError for noise levels that do not end in a clean window, which others go on from, and for a window
    that holds no numbers.
    """
    check_levels(model, sigmas)
    if sigmas[-1:].any():
        raise ValueError(
            f"the noise levels end at {sigmas[-1]:g}; what follows goes on from the clean end of what is made, so they"
            " must end at 0: connect them before they are split"
        )
    model = fit_for_hooks(model, positive, negative)
    steps = len(sigmas) - 1
    progress = comfy.utils.ProgressBar(count * steps)
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def sample(window: Window, known: Known) -> Tensor:
        part = model.clone()
        part.model_options["transformer_options"][PART] = (start(window), window.continued)
        part.model_options["transformer_options"][CELLS] = window.cells
        guider = IntervalGuider(part, guidance, guided_levels(part, sigmas))
        guider.set_conds(*(showing(conditions_in(p, window, latent_frames), known) for p in (positive, negative)))
        seed_here = window_seed(seed, window.number)

        def callback(step: int, denoised: Tensor, x: Tensor, total: int) -> None:
            preview = previewer.decode_latent_to_preview_image("JPEG", denoised) if previewer else None
            progress.update_absolute((window.number - first) * steps + step + 1, count * steps, preview)

        made = guider.sample(
            comfy.sample.prepare_noise(known.clean, seed_here, index), known.clean,
            sampler_of(sampler), sigmas,
            denoise_mask=None if (known.mask == 1).all() else known.mask, callback=callback,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED, seed=seed_here,
        )  # fmt: skip
        if not torch.isfinite(made).all():
            raise ValueError(
                f"what the model made from latent frame {window.new.start} on holds NaN or infinite numbers: load it"
                " with dtype bfloat16 or float32, or lower the guidance"
            )
        return made

    return sample
