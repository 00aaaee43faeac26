"""The blocks that make a video longer and put its parts together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from comfy_api.latest import io
from torch import Tensor

from sora_core.editing.connect import check_pair
from sora_core.editing.extend import extend, extend_latent
from sora_core.shapes import VideoShape
from sora_core.sound import RATE

from .editing_media import (
    MOVIES_RATE,
    encoder,
    fps_input,
    geometry_of,
    movie_input,
    shape_of,
    sound_beside,
    to_latent,
)
from .movie import HELD, frames_within, heard, pair_of_frames, part_of_frames, to_image, to_video
from .native import check_made, index_of, samples_of
from .schema import chosen, schema

DIRECTIONS = ("forward", "backward", "both")
OVERLAPS = ("cross-fade", "from the first", "from the second")


def next_to(direction: str, context: float, count: int, rate: float) -> slice:
    """Which of `count` frames the model sees: those of `context` seconds next to the new ones, or all if that is 0.

    Raises ValueError for a context that is longer than the video, and for a part of one that goes on on both sides.
    """
    shown = max(1, frames_within("context", context, rate, count)) if context else count
    if direction == "both" and shown != count:
        raise ValueError("a video continued on both sides is all context; set the context to 0")
    return slice(count - shown, None) if direction == "forward" else slice(shown)


class SoraExtendVideo(io.ComfyNode):
    """More video before, after or on both sides."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraExtendVideo",
            display_name="Sora Extend Video",
            description="Prepares a latent that holds a video and new time before it, after it or both. Sample it with"
            " different seeds for different beginnings or endings. A sampled latent is continued forward without"
            " encoding it again, so that colours do not drift.",
            search_aliases=["continue video", "prequel", "longer video"],
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of the model that will be sampled, of any video model."),
                movie_input(
                    "video", "The video to extend: IMAGE, VIDEO, or (forward only) a sampled LATENT.", io.Latent
                ),
                io.Float.Input(
                    "seconds",
                    default=1.0,
                    min=0.05,
                    max=3600.0,
                    step=0.05,
                    tooltip="New time to add; on both sides, this much on each. Before the video it is rounded up to"
                    " whole latent frames.",
                ),
                io.Combo.Input(
                    "direction",
                    options=list(DIRECTIONS),
                    default="forward",
                    tooltip="Whether what comes after the video is made, what came before it, or both.",
                ),
                io.Float.Input(
                    "context",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=0.05,
                    tooltip="How many seconds of the video next to the new part the model sees; 0 is all of it, which"
                    " both needs. Forward, the first frames of an IMAGE or VIDEO are left out if they do not fill a"
                    " latent frame. Less is faster; join the result to the video with Sora Join Videos.",
                ),
                fps_input(),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="For a sampler: the given frames are kept."),
                io.Float.Output(
                    display_name="overlap",
                    tooltip="Seconds of the result that repeat the video, for Sora Join Videos.",
                ),
                io.String.Output(display_name="note", tooltip="Which frames are given and which are new."),
            ],
        )

    @classmethod
    def execute(
        cls, vae: io.Vae.Type, video: Any, seconds: float, direction: str, context: float, fps: float
    ) -> io.NodeOutput:
        geometry = geometry_of(vae)
        chosen("direction", direction, DIRECTIONS)
        if isinstance(video, dict):
            if direction != "forward" or context:
                raise ValueError(
                    "a latent can only be extended forward and with all of it as context; decode it first for anything"
                    " else"
                )
            shape = shape_of(video, geometry, fps)
            check_made(samples_of(video))
            shown = shape.num_frames if video.get(HELD) else None
            edit = extend_latent(geometry, samples_of(video).float(), max(1, round(seconds * shape.fps)), shown)
            repeated = total = shape.num_frames  # as a decoder shows it; the last latent frame may hold more
        else:
            frames, rate, total = part_of_frames(video, fps, partial(next_to, direction, context))
            shape = VideoShape(num_frames=frames.shape[2], height=frames.shape[3], width=frames.shape[4], fps=rate)
            new = max(1, round(seconds * rate))
            before, after = new * (direction != "forward"), new * (direction != "backward")
            edit = extend(geometry, encoder(vae), frames, before=before, after=after)
            if direction == "forward":
                edit = replace(edit, source=edit.source + total - frames.shape[2])
            repeated = len(edit.kept)
        whole = replace(shape, num_frames=edit.num_frames)
        note = f"frames {edit.kept.start} to {edit.kept.stop - 1} of {edit.num_frames} are given, the others are new"
        if edit.source:
            note += f"; the video's first {edit.source} are not repeated, join it with the overlap"
        sound = sound_beside(video, shape.fps, edit.kept.start - edit.source, total)
        return io.NodeOutput({**to_latent(edit.known, whole), **sound, **index_of(video)}, repeated / shape.fps, note)


def spliced(a: Tensor, b: Tensor, overlap: int, mode: str, dim: int) -> Tensor:
    """Two recordings as one along `dim`, of which `overlap` steps are in both: the last of `a`, the first of `b`."""
    rest = a.shape[dim] - overlap
    left, right = a.narrow(dim, rest, overlap), b.narrow(dim, 0, overlap)
    share = torch.arange(1, overlap + 1).to(a).view(-1, *[1] * (a.ndim - dim - 1)) / (overlap + 1)
    shared = {OVERLAPS[0]: left.lerp(right, share), OVERLAPS[1]: left, OVERLAPS[2]: right}[mode]
    return torch.cat([a.narrow(dim, 0, rest), shared, b.narrow(dim, overlap, b.shape[dim] - overlap)], dim=dim)


def spliced_sound(movies: tuple[Any, Any], seconds: tuple[float, float], overlap: float) -> Tensor | None:
    """The sound of two movies of so many seconds as one, which fades from one to the other where both are shown.

    Of one without sound the other's is heard there. None where neither has sound.
    """
    tracks = [heard(movie, long) for movie, long in zip(movies, seconds, strict=True)]
    if tracks[0] is None and tracks[1] is None:
        return None
    mode = OVERLAPS[2] if tracks[0] is None else OVERLAPS[1] if tracks[1] is None else OVERLAPS[0]
    counts = [round(long * RATE) for long in seconds]
    a, b = (
        torch.zeros(2, count) if track is None else F.pad(track, (0, count - track.shape[1]))
        for track, count in zip(tracks, counts, strict=True)
    )
    return spliced(a, b, min(round(overlap * RATE), *counts), mode, dim=1)


class SoraJoinVideos(io.ComfyNode):
    """Two videos that share frames become one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraJoinVideos",
            display_name="Sora Join Videos",
            description="Puts one video after another. Frames that both have, such as the context of an extension, are"
            " shown once. Their sound goes along.",
            search_aliases=["concatenate video", "append", "stitch"],
            inputs=[
                movie_input("first", "The video that comes first."),
                movie_input("second", "The video that follows, as large as the first, and unless fps is set as fast."),
                io.Float.Input(
                    "overlap",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=0.01,
                    tooltip="Seconds that are both at the end of the first and at the beginning of the second.",
                ),
                io.Combo.Input(
                    "shared",
                    options=list(OVERLAPS),
                    default=OVERLAPS[0],
                    tooltip="Whose frames are shown where both have them; a cross-fade hides small differences.",
                ),
                fps_input("the joined video", MOVIES_RATE),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="For Save Video."),
                io.Image.Output(display_name="frames", tooltip="The same as images."),
            ],
        )

    @classmethod
    def execute(cls, first: Any, second: Any, overlap: float, shared: str, fps: float) -> io.NodeOutput:
        chosen("shared", shared, OVERLAPS)
        a, b, rate = pair_of_frames(first, second, fps)
        check_pair(a, b)
        lengths = a.shape[2], b.shape[2]
        count = frames_within("overlap", overlap, rate, min(lengths))
        sound = spliced_sound((first, second), (lengths[0] / rate, lengths[1] / rate), count / rate)
        images = to_image(spliced(a, b.to(a), count, shared, dim=2))
        return io.NodeOutput(to_video(images, rate, sound=sound), images)
