"""A small video made again in high definition, from file to file: no more than a window of it is ever in memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..diffusion.conditioning import Known
from ..framing import framed
from ..pixels import to_floats
from ..shapes import VideoShape
from ..text.timeline import Segment
from ..vae.chunks import whole_cells
from ..vae.streaming import decode_parts, encode_stream
from .geometry import Geometry
from .long import SampleWindow, Window
from .long_state import LongState, weights_fingerprint
from .long_video import identity, planned, sora_sampler, window_cells
from .preview import enlarge
from .regenerate import DEFAULT, Sampling
from .tiles import fitting_tile

if TYPE_CHECKING:
    from ..pipeline import Sora

BUDGET = 1 << 30
"""Bytes that encoding and decoding may each work with; what layers remember of a frame comes on top."""


@torch.inference_mode()
def final_video(
    sora: Sora, preview: Iterable[Tensor], prompt: str, shape: VideoShape, seed: int, *, strength: float = 0.5,
    window: float = 2.0, overlap: float = 0.5, tile: int | None = None, budget: int = BUDGET,
    sampling: Sampling = DEFAULT, state: Path | None = None, report: Callable[[Window, int], Any] | None = None,
) -> Iterator[Tensor]:  # fmt: skip
    """Frames `t h w 3` in [0, 1] of `shape` from chunks `t h w 3` of a smaller video of as many frames.

    Each window of `window` seconds is enlarged, encoded, changed up to `strength` in tiles of `tile` latent cells while
    it goes on from the latents of the last one, and decoded. `report` is called before each with their number.
    With a folder `state` every window that is done is kept there, and a run that was killed takes them up.
    Raises ValueError for a strength outside 0 to 1, for another shape of the picture, for windows in `state` that
    belong to another video, and what `plan` raises.
    """
    if not (math.isfinite(strength) and 0 <= strength <= 1):
        raise ValueError(f"strength is {strength}; it must be between 0 (only enlarged) and 1 (made anew)")
    latent = shape.latent(sora.config.vae.compression, sora.config.vae.channels, sora.config.dit.patch, 10**12)
    geometry = Geometry.of(sora.config.vae.compression, latent.channels)
    windows = planned(geometry, shape.fps, latent.frames, window, overlap, anchor=False)
    seen, _ = window_cells(geometry, shape.fps, window, overlap)
    tile = tile or fitting_tile(latent, max(len(w.cells) for w in windows), sora.config.dit.patch)
    sample = sora_sampler(sora, [Segment(0, math.inf, prompt)], latent, shape.fps, seed, 0.0, sampling, tile)
    digests: list[bytes] = []
    encoded = _encoded(sora, preview, shape, budget, digests)
    about = [strength, tile, weights_fingerprint(sora.dit, sora.text, sora.vae)]
    which = identity(shape, seed, windows, [Segment(0, math.inf, prompt)], about, sampling)

    def finished() -> Iterator[Tensor]:
        past = torch.zeros(1, latent.channels, 0, latent.height, latent.width)
        for part in windows:
            if report is not None:
                report(part, len(windows))
            clean = torch.cat([past[:, :, past.shape[2] - len(part.past) :], *_next(encoded, len(part.new))], dim=2)
            mask = torch.full((1, 1, *clean.shape[2:]), float(strength))
            mask[:, :, : part.made.start] = 0
            # Told by its frames: what the encoder makes of them differs in the last bit from machine to machine.
            source = b"".join(digests[: geometry.num_frames(part.new.stop)])
            name = f"{which} {hashlib.blake2b(source, digest_size=8).hexdigest()}"
            made = _made(sample, part, Known(clean, mask), name, state) if strength else clean
            past = made[:, :, max(0, made.shape[2] - seen) :]
            yield made[:, :, part.made.start :]

    left = shape.num_frames
    parts = (part.to(sora.vae_weight) for part in finished())
    for video in decode_parts(sora.vae, parts, 1, budget=budget):
        frames = framed(video[:, :, :left], shape)[0].movedim(0, -1).float().cpu()
        left -= len(frames)
        yield frames


def _made(sample: SampleWindow, part: Window, known: Known, which: str, state: Path | None) -> Tensor:
    """One window, as it lies in the folder `state` or else sampled and kept there."""
    if state is None:
        return sample(part, known)
    state.mkdir(parents=True, exist_ok=True)
    file = LongState(state / f"{part.number:05d}.safetensors", which)
    made = torch.empty_like(known.clean)
    if not file.load(made):
        made = sample(part, known)
        file.finish(made, 1)
    return made


def _encoded(
    sora: Sora, preview: Iterable[Tensor], shape: VideoShape, budget: int, digests: list[bytes]
) -> Iterator[Tensor]:
    """The enlarged preview as latents, one latent frame at a time; `digests` takes one of each frame that was read."""

    def enlarged() -> Iterator[Tensor]:
        for chunk in preview:
            for frames in chunk.split(4):
                digests.extend(hashlib.blake2b(frame.contiguous().numpy(), digest_size=8).digest() for frame in frames)
                video = to_floats(frames).movedim(-1, 0)[None]
                yield enlarge(video, shape.height, shape.width)[0].movedim(0, -1)

    cells = sora.config.vae.compression
    chunks = whole_cells(enlarged(), cells, 1, patch=sora.config.dit.patch[1])
    encoded = encode_stream(sora.vae, (chunk.to(sora.vae_weight) for chunk in chunks), budget=budget)
    return (part.float().cpu() for part in encoded)


def _next(encoded: Iterator[Tensor], count: int) -> list[Tensor]:
    """The next `count` latent frames. Raises ValueError when the preview ends before."""
    found: list[Tensor] = []
    while sum(part.shape[2] for part in found) < count:
        part = next(encoded, None)
        if part is None:
            raise ValueError("the preview has fewer frames than the video that is to be made of it")
        found.append(part)
    return found
