"""Any length and any size through the compression network, equal to the whole: in pieces of time and tiles of space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..out_of_memory import free_memory, is_out_of_memory
from ..stored_latent import StoredLatent
from .deblock import check_given, deblock_stream
from .layers import CausalConv3d, StreamState

if TYPE_CHECKING:
    from .model import VideoVAE

COMFORTABLE = 16 << 20
"""Bytes of work beyond which more latent frames at a time are no faster, only larger."""
MOST_FRAMES = 4
SHARE = 0.5
"""How much of the free memory may be planned for; what else runs may need some too."""
SMALLEST_TILE = 16
"""Latent cells; with smaller tiles nearly all of the work is for their surroundings."""


@dataclass(frozen=True)
class Pieces:
    """At most this many latent frames, and this many rows and columns of latent cells, at a time."""

    frames: int
    height: int
    width: int

    def smaller(self) -> Pieces | None:
        """The next smaller pieces: fewer frames first, as that costs nothing, then tiles; None when there are none."""
        if self.frames > 1:
            return replace(self, frames=self.frames // 2)
        if max(self.height, self.width) <= SMALLEST_TILE:
            return None
        half = max(SMALLEST_TILE, -(-max(self.height, self.width) // 2))
        return replace(self, height=half) if self.height >= self.width else replace(self, width=half)


def work_bytes(vae: VideoVAE, pieces: Pieces, *, decoding: bool, itemsize: int = 4) -> int:
    """The memory that a piece needs while it is worked on, `itemsize` bytes a number; an estimate from above.

    Ten copies of the widest layer's features live at once at most, and three of the pixels.
    """
    config = vae.config
    width = (config.decoder_width if decoding else config.encoder_width)[0]
    around = 2 * (reach(vae, decoding=decoding) if min(pieces.height, pieces.width) > SMALLEST_TILE else 0)
    cells = pieces.frames * (pieces.height + around) * (pieces.width + around)
    t, h, w = config.wavelet
    pixels = cells * config.compression.time * config.compression.space**2
    return int(pixels * (10 * width / (t * h * w) + 9) * itemsize)


def plan_pieces(
    vae: VideoVAE, height: int, width: int, *, decoding: bool, frames: int | None = None, budget: int | None = None,
    device: torch.device | None = None,
) -> Pieces:  # fmt: skip
    """How to cut a latent of `height` x `width` cells, decided before anything is started.

    `frames` is a wish, the most latent frames at a time; without it they are as many as work comfortably. What does
    not fit `budget` bytes, by default half of the free memory of `device`, is cut further. Without a device it is where
    the weights are; they may wait elsewhere than they are used, as ComfyUI brings them to a card layer by layer.
    """
    parameter = next(vae.parameters())
    if budget is None:
        free = free_memory(device or parameter.device)
        budget = None if free is None else int(free * SHARE)
    pieces = Pieces(frames or MOST_FRAMES, height, width)
    comfortable = COMFORTABLE if frames is None else None
    while True:
        need = work_bytes(vae, pieces, decoding=decoding, itemsize=parameter.element_size())
        uncomfortable = comfortable is not None and pieces.frames > 1 and need > comfortable
        if not uncomfortable and (budget is None or need <= budget):
            return pieces
        smaller = pieces.smaller()
        if smaller is None:
            return pieces
        pieces = smaller


def reach(vae: VideoVAE, *, decoding: bool) -> int:
    """Latent cells around a cell that its result depends on: the radii of all convolutions on the way, added up."""
    side, finer = (vae.decoder, ("fine", "exit")) if decoding else (vae.encoder, ("entry", "fine"))
    fine = coarse = 0
    for name, module in side.named_modules():
        if isinstance(module, CausalConv3d):
            radius = module.conv.kernel_size[1] // 2
            fine, coarse = (fine + radius, coarse) if name.startswith(finer) else (fine, coarse + radius)
    return coarse + -(-fine // 2)


class Stream:
    """One side of the network fed with consecutive pieces; `run(piece, state)` takes `before` pixels a cell side to
    `after`. Tiles see as much of their surroundings as they depend on, so that their inner parts are exact.

    What the layers remember lies in two sets of buffers of the whole frame that take turns: nothing is allocated anew
    from piece to piece, so memory does not creep up, and a piece that failed can be repeated in smaller tiles.
    """

    def __init__(self, run: Callable[[Tensor, StreamState], Tensor], around: int, before: int, after: int):
        self.run, self.around, self.before, self.after = run, around, before, after
        self._past: tuple[dict[nn.Module, Tensor], dict[nn.Module, Tensor]] = ({}, {})
        self.started = False

    def __call__(self, piece: Tensor, pieces: Pieces) -> Tensor:
        """The result of the next piece, `b c t h w`. Raises what PyTorch raises; the stream is then where it was."""
        height, width = (size // self.before for size in piece.shape[3:])
        rows, columns = _tiles(height, pieces.height), _tiles(width, pieces.width)
        result = None
        for top, bottom in rows:
            for left, right in columns:
                inner = (top, bottom, left, right)
                outer = (
                    max(0, top - self.around), min(height, bottom + self.around),
                    max(0, left - self.around), min(width, right + self.around),
                )  # fmt: skip
                state = StreamState()
                state.started = self.started
                state.past = {layer: _cut(past, outer, height) for layer, past in self._past[0].items()}
                made = self.run(_cut(piece, outer, height), state)
                self._remember(state, outer, inner, height, width)
                whole = len(rows) == len(columns) == 1
                if whole:
                    result = made
                    continue
                if result is None:
                    result = made.new_empty(*made.shape[:3], height * self.after, width * self.after)
                _cut(result, inner, height).copy_(_inner(made, outer, inner))
        self._past = self._past[::-1]
        self.started = True
        assert result is not None
        return result

    def _remember(
        self, state: StreamState, outer: tuple[int, ...], inner: tuple[int, ...], height: int, width: int
    ) -> None:
        for layer, past in state.past.items():
            scale = past.shape[3] // (outer[1] - outer[0])
            if layer not in self._past[1]:
                size = (*past.shape[:3], height * scale, width * scale)
                self._past[1][layer] = torch.empty(
                    size, dtype=past.dtype, device=past.device, memory_format=torch.channels_last_3d
                )
            _cut(self._past[1][layer], inner, height).copy_(_inner(past, outer, inner))


def _tiles(size: int, most: int) -> list[tuple[int, int]]:
    """`size` cells in equal parts of at most `most`."""
    count = -(-size // most)
    return [(size * i // count, size * (i + 1) // count) for i in range(count)]


def _cut(x: Tensor, area: tuple[int, ...], height: int) -> Tensor:
    """The part of `b c t h w` over the latent cells `area`, whatever number of values lies on a cell's side."""
    scale = x.shape[3] // height
    top, bottom, left, right = (scale * edge for edge in area)
    return x[:, :, :, top:bottom, left:right]


def _inner(x: Tensor, outer: tuple[int, ...], inner: tuple[int, ...]) -> Tensor:
    """The part of `b c t h w`, which covers the cells `outer`, over the cells `inner`."""
    moved = (inner[0] - outer[0], inner[1] - outer[0], inner[2] - outer[2], inner[3] - outer[2])
    return _cut(x, moved, outer[1] - outer[0])


def decode_stream(
    vae: VideoVAE, latent: Tensor | StoredLatent, frames: int | None = None, *, budget: int | None = None,
    given: Sequence[bool] = (),
) -> Iterator[Tensor]:  # fmt: skip
    """Decode `b c t h w`, in memory or on disk, in pieces as `plan_pieces` cuts them; equal to the whole.

    `given` says which latent frames are given and not generated, see `deblock`. When memory runs out all the same, it
    goes on with smaller pieces. Raises what PyTorch raises when there are none, and what `check_given` raises.
    """
    check_given(given, latent.shape[2])
    yield from decode_parts(vae, [latent], frames, budget=budget, given=given)


def decode_parts(
    vae: VideoVAE, parts: Iterable[Tensor | StoredLatent], frames: int | None = None, *, budget: int | None = None,
    given: Sequence[bool] = (),
) -> Iterator[Tensor]:  # fmt: skip
    """What `decode_stream` does for the parts of one latent, each of which continues the one before."""
    yield from deblock_stream(_decoded(vae, parts, frames, budget), vae.config.compression.time, given=given)


def _decoded(
    vae: VideoVAE, parts: Iterable[Tensor | StoredLatent], frames: int | None, budget: int | None
) -> Iterator[Tensor]:
    """The parts as the network decodes them, latent frame by latent frame."""
    stream = Stream(vae.decode, reach(vae, decoding=True), 1, vae.config.compression.space)
    pieces: Pieces | None = None
    for latent in parts:
        if pieces is None:
            height, width = latent.shape[3:]
            pieces = plan_pieces(
                vae, height, width, decoding=True, frames=frames, budget=budget, device=latent.device
            )  # fmt: skip
        start = 0
        while start < latent.shape[2]:
            try:
                video = stream(latent[:, :, start : start + pieces.frames], pieces)
            except (MemoryError, RuntimeError) as error:
                pieces = _smaller(pieces, error)
                continue
            start += pieces.frames
            yield video


def encode_stream(vae: VideoVAE, chunks: Iterable[Tensor], *, budget: int | None = None) -> Iterator[Tensor]:
    """Encode a stream of chunks (first 1 + 4k frames, then 4k each); equal to encoding the whole.

    A chunk that does not fit in memory is cut in time and in space. Raises what PyTorch raises when that is not enough.
    """
    cells = vae.config.compression
    stream = Stream(vae.encode, reach(vae, decoding=False), cells.space, 1)
    pieces: Pieces | None = None
    for chunk in chunks:
        if any(size % cells.space for size in chunk.shape[3:]):
            vae.encode(chunk)  # says what is wrong with the size
        if pieces is None:
            frames = cells.latent_frames(chunk.shape[2])
            height, width = (size // cells.space for size in chunk.shape[3:])
            pieces = plan_pieces(
                vae, height, width, decoding=False, frames=frames, budget=budget, device=chunk.device
            )  # fmt: skip
        done = 0
        while done < chunk.shape[2]:
            count = pieces.frames * cells.time - (0 if stream.started else cells.time - 1)
            try:
                latent = stream(chunk[:, :, done : done + count], pieces)
            except (MemoryError, RuntimeError) as error:
                pieces = _smaller(pieces, error)
                continue
            done += count
            yield latent


def _smaller(pieces: Pieces, error: BaseException) -> Pieces:
    """Smaller pieces after an error that says that memory ran out; any other error is raised again."""
    smaller = pieces.smaller()
    if smaller is None or not is_out_of_memory(error):
        raise error
    return smaller
