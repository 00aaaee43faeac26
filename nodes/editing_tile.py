"""The block for pictures larger than a model was made for."""

from __future__ import annotations

from typing import Any

from comfy.patcher_extension import WrappersMP
from comfy_api.latest import io
from torch import Tensor

from sora_core.editing.tiles import blended, cut_conditions, fitting_tile
from sora_core.shapes import LatentShape

from .editing_wrap import Call, check_guides, wrapped
from .native import compression, patch_of
from .schema import advanced, schema


def tile_of(model: Any, shape: tuple[int, ...], cells: int) -> int:
    """Latent cells of a tile's side for a latent `b c (t) h w`: `cells` of them, or as many as suit if that is 0.

    Raises ValueError for several streams, which ComfyUI packs into one row of numbers.
    """
    if len(shape) < 4:
        raise ValueError(
            "Sora Tile Model cuts pictures, and this latent holds several streams, such as video with sound: sample the"
            " video alone, or use the model from before this block"
        )
    patch = patch_of(model)
    step = max(patch[1:])
    if cells:
        return max(1, cells // step) * step
    frames = shape[2] if len(shape) == 5 else 1
    latent = LatentShape(channels=shape[1], frames=frames, height=shape[-2], width=shape[-1])
    return fitting_tile(latent, frames, patch) or max(shape[-2:])


class SoraTileModel(io.ComfyNode):
    """The model that sees a part of each frame at a time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraTileModel",
            display_name="Sora Tile Model",
            description="Lets any model make pictures larger than it was trained for: it sees overlapping squares of"
            " each frame, and every step blends them. For finishing small videos in high definition, after Sora Edit"
            " Video; a new video would show a scene in every tile.",
            search_aliases=["multidiffusion", "tiled diffusion", "upscale", "high definition", "1080p"],
            inputs=[
                io.Model.Input("model", tooltip="Any model, best that of Sora Edit Video."),
                io.Vae.Input("vae", tooltip="Its VAE: it knows how many pixels a latent cell holds."),
                io.Int.Input(
                    "tile", default=0, min=0, max=16384, step=8,
                    tooltip="Pixels of a tile's sides; 0 takes tiles of 4096 tokens, smaller ones for more frames.",
                ),
                advanced(
                    io.Float, "overlap", default=0.125, min=0.0, max=0.75, step=0.025,
                    tooltip="Share of a tile's side that it has in common with the next: more hides the borders"
                    " better and takes longer.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For the sampler.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, model: io.Model.Type, vae: io.Vae.Type, tile: int, overlap: float) -> io.NodeOutput:
        space = compression(vae).space
        patch = patch_of(model)
        least = 4 * max(patch[1:])
        if tile and tile < least * space:
            raise ValueError(f"the tile is {tile} pixels; make it at least {least * space}, or 0")
        return io.NodeOutput(with_tiles(model, tile // space, overlap))


def with_tiles(model: Any, cells: int, overlap: float) -> Any:
    """The model seeing tiles of `cells` latent cells, or as `tile_of` chooses, that share `overlap` of their sides."""
    patch = patch_of(model)

    def around(run: Any, call: Call) -> Tensor:
        x = call["input"]
        tile = tile_of(model, tuple(x.shape), cells)
        if tile < max(x.shape[-2:]):
            check_guides(call["c"])

        def predict(rows: slice, columns: slice) -> Tensor:
            c = cut_conditions(call["c"], tuple(x.shape), rows, columns)
            return run({**call, "input": x[..., rows, columns], "c": c})

        return blended(x, tile, int(tile * overlap), patch[1:], predict)

    def prepare(executor: Any, patcher: Any, shape: Any, *more: Any, **options: Any) -> Any:
        # Memory is needed for one tile, not for the frame.
        tile = tile_of(model, tuple(shape), cells)
        return executor(patcher, [*shape[:-2], min(tile, shape[-2]), min(tile, shape[-1])], *more, **options)

    clone = wrapped(model, around)
    clone.add_wrapper(WrappersMP.PREPARE_SAMPLING, prepare)
    return clone
