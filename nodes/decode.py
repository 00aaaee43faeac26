"""The block that turns a latent into a video file, a few frames at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import comfy.model_management
from comfy_api.latest import InputImpl, io
from torch import Tensor

from sora_core.editing.geometry import Geometry
from sora_core.framing import framed
from sora_core.out_of_memory import is_out_of_memory
from sora_core.shapes import VideoShape
from sora_core.video import CODECS, PIXEL_FORMATS, VideoWriter

from .comfy_model.vae import SoraVAE
from .editing_media import known_of
from .movie import SOUND, played, temporary_file, write
from .native import Latent, compression, fitting_size, samples_of, size_of
from .native_decode import OVERLAP, decode_native
from .schema import advanced, schema
from .unfinished import kept

RESIZED_AT_ONCE = 16
"""Frames brought to a size at a time: it takes two more copies of them."""


def one_video(samples: Tensor, index: int) -> Tensor:
    """One video of a batch, `1 c t h w`. Raises ValueError when there is none of that number."""
    if not 0 <= index < len(samples):
        raise ValueError(f"batch_index is {index} and the latent holds {len(samples)}: use 0 to {len(samples) - 1}")
    return samples[index : index + 1]


def decodable(vae: Any, latent: Latent) -> Latent:
    """A LATENT as its VAE wants it: an image as a video of one frame where the VAE knows video, and the reverse.

    Raises ValueError when its channels are not the VAE's, and for a video where the VAE only knows images.
    """
    samples = samples_of(latent)
    if samples.shape[1] != vae.latent_channels:
        raise ValueError(
            f"the latent has {samples.shape[1]} channels; this VAE decodes {vae.latent_channels}: connect the VAE of"
            " the model that made the latent"
        )
    if vae.latent_dim == 3 and samples.ndim == 4:
        return {**latent, "samples": samples.unsqueeze(2)}
    if vae.latent_dim == 2 and samples.ndim == 5:
        if samples.shape[2] > 1:
            raise ValueError(
                f"this VAE only knows images and the latent is a video of {samples.shape[2]} latent frames: connect the"
                " VAE of the model that made the latent"
            )
        return {**latent, "samples": samples[:, :, 0]}
    return latent


def given_frames(latent: Latent, index: int) -> list[bool]:
    """Which latent frames of a video of a batch its noise mask gives whole; nothing is said by one that does not fit.

    Stock blocks that cut or join sampled latents in time leave the mask as it was.
    """
    try:
        known = known_of(latent)
    except ValueError:
        return []
    return replace(known, mask=known.mask[index : index + 1]).given


def stream_frames(
    vae: Any, video: Tensor, size: VideoShape | None, chunk: int, given: Sequence[bool] = ()
) -> Iterator[Tensor]:
    """Frames of one video as chunks `t h w 3` in [0, 1], brought to `size`.

    Sora's VAE joins generated latent frames on to the `given` ones.
    """
    if isinstance(vae, SoraVAE):
        video = video if video.ndim == 5 else video.unsqueeze(2)
        chunks: Iterator[Tensor] = (frames[0].movedim(0, -1) for frames in vae.decode_stream(video, chunk, given))
    else:
        chunks = decode_native(vae, video, compression(vae), chunk)
    left = size.num_frames if size else None
    if size and size.resized:
        chunks = (part for frames in chunks for part in frames.split(RESIZED_AT_ONCE))
    for frames in chunks:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if size and left is not None:
            frames = framed(frames[None, :left].movedim(-1, 1), size).movedim(1, -1)[0]
            left -= len(frames)
        if len(frames):
            yield frames


def reach_in_time(vae: Any) -> tuple[int, int]:
    """Latent frames before and after its own that a frame is decoded with in `frames_from`.

    A frame of Sora's VAE depends on no others: on those before, and on the next one, towards which the last frame of
    each moves. Other VAEs do not say how far they look. They see as many after as in `decode_parts`, and twice as many
    before, where causal ones look.
    """
    return (vae.first_stage_model.context, 1) if isinstance(vae, SoraVAE) else (2 * OVERLAP, OVERLAP)


def frames_from(
    vae: Any, video: Tensor, size: VideoShape, chunk: int, start: int, geometry: Geometry
) -> Iterator[Tensor]:
    """What `stream_frames` gives of a video `1 c t h w` from frame `start` on, at the cost of that part.

    With Sora's VAE they are the same; with others the first ones differ as far as what is further back than
    `reach_in_time` counts.
    """
    cell = geometry.cell_of(start)
    first = max(0, cell - reach_in_time(vae)[0])
    before = geometry.num_frames(cell - first) + start - geometry.num_frames(cell)
    part = replace(size, num_frames=size.num_frames - start + before)
    yield from since(stream_frames(vae, video[:, :, first:], part, chunk), before)


def since(chunks: Iterator[Tensor], start: int) -> Iterator[Tensor]:
    """Chunks of frames without the first `start` frames."""
    for frames in chunks:
        if start < len(frames):
            yield frames[start:]
        start = max(0, start - len(frames))


def frame_rate(fps: float, size: VideoShape | None) -> float:
    """The rate that was set, or that of the noise grid. Raises ValueError when there is neither."""
    if fps:
        return fps
    if size is None:
        raise ValueError("fps is 0 for the rate of the noise grid, but this latent did not come from one: set fps")
    return size.fps


class SoraDecodeVideo(io.ComfyNode):
    """Decodes into a file, so that memory does not grow with the duration."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraDecodeVideo",
            display_name="Sora Decode Video",
            description="Decodes a latent into a video file chunk by chunk, of exactly the size that was asked"
            " for. Connect Save Video. Works with any VAE; others than Sora's decode whole if memory allows, else in"
            " overlapping parts.",
            search_aliases=["vae decode", "create video"],
            has_intermediate_output=True,
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE that belongs to the latent."),
                io.Latent.Input("latent", tooltip="What a sampler made."),
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.1,
                    tooltip="Frames per second of the video; 0 takes the rate of the noise grid.",
                ),
                advanced(
                    io.Int,
                    "chunk",
                    default=4,
                    min=1,
                    max=1024,
                    tooltip="Latent frames decoded at a time: fewer need less memory, and Sora's VAE makes the same"
                    " video. Halved when memory runs out.",
                ),
                io.Int.Input(
                    "batch_index", default=0, min=0, max=4095, tooltip="Which video of a batch to decode, from 0."
                ),
                advanced(
                    io.Combo,
                    "codec",
                    options=list(CODECS),
                    default="h264",
                    optional=True,
                    tooltip="h264 plays everywhere; vp9 makes smaller files and takes longer.",
                ),
                advanced(
                    io.Int,
                    "crf",
                    default=16,
                    min=0,
                    max=63,
                    optional=True,
                    tooltip="Quality of the file: lower is better and larger; h264 goes to 51, vp9 to 63.",
                ),
                advanced(
                    io.Combo,
                    "pixel_format",
                    options=list(PIXEL_FORMATS),
                    default="yuv420p",
                    optional=True,
                    tooltip="yuv420p plays everywhere; yuv444p keeps colours at full resolution (h264, vp9);"
                    " yuv420p10le has 10 bits, for smooth skies (h264).",
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="A native video on file, for Save Video.")],
        )

    @classmethod
    def execute(
        cls, vae: io.Vae.Type, latent: Latent, fps: float, chunk: int, batch_index: int, codec: str = "h264",
        crf: int = 16, pixel_format: str = "yuv420p",
    ) -> io.NodeOutput:  # fmt: skip
        cells = compression(vae)
        latent = decodable(vae, latent)
        size = fitting_size(latent, cells)
        rate = frame_rate(fps, size_of(latent))
        video = one_video(samples_of(latent), batch_index)
        path = temporary_file()
        options: dict[str, Any] = {"codec": codec, "crf": crf, "pixel_format": pixel_format}
        width, height = (size.width, size.height) if size else (2, 2)
        VideoWriter(path, width, height, rate, **options)  # refuses what does not go together before decoding
        total = size.num_frames if size else cells.num_frames(video.shape[2] if video.ndim == 5 else 1)
        # The sound of a file goes with all of its frames, at their rate; other blocks may have cut the latent since.
        sound = latent.get(SOUND) if size and abs(rate - size.fps) < 1e-3 * rate else None
        if SOUND in latent and sound is None:
            logging.info("Sora: the sound is left out, for the video was cut or has another frame rate now")
        with kept(video) as safe:
            try:
                given = given_frames(latent, batch_index) if isinstance(vae, SoraVAE) else ()
                frames = stream_frames(vae, video, size, chunk, given)
                write(path, frames, rate, total, sound, **options)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                place = f"; the latent is kept in {safe}" if safe.exists() else ""
                raise ValueError(
                    f"there is too little memory to decode even one latent frame of {tuple(video.shape)}{place}: close"
                    " other programs, or decode it with VAE Decode (Tiled)"
                ) from None
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=played(path))
