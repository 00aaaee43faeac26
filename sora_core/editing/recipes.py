"""Every edit carried out by a loaded Sora: a video or an image and a prompt in, a latent out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ..diffusion.conditioning import Known
from ..diffusion.noise import draw_noise
from ..diffusion.samplers import Denoiser
from ..framing import unframed
from ..pipeline import Sora
from ..pixels import check_video
from ..shapes import LatentShape, VideoShape
from ..text.timeline import parse
from . import connect as connecting
from .extend import Edit, extend, extend_latent
from .flowedit import flowedit
from .geometry import Geometry, frame_at
from .loop import check_loop
from .place import check_channels, merge, place
from .preview import finish
from .regenerate import DEFAULT, Sampling, conditional, guided, regenerate
from .sdedit import level, sdedit, strengths
from .timed import timed, timeline_weights


def geometry_of(sora: Sora) -> Geometry:
    """How Sora's VAE divides frames into cells."""
    return Geometry.of(sora.config.vae.compression, sora.config.vae.channels, max(sora.config.dit.patch[1:]))


@torch.inference_mode()
def encode(sora: Sora, video: Tensor) -> Tensor:
    """The latent `b c t h w` of a video `b 3 t h w` in [0, 1] of any size and duration; the last frame is held.

    Raises what `check_video` does.
    """
    check_video(video)
    geometry = geometry_of(sora)
    missing = geometry.num_frames(geometry.latent_frames(video.shape[2])) - video.shape[2]
    return sora.encode(geometry.pad(torch.cat([video, video[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)))


def keyframes(
    sora: Sora, frames: list[tuple[float, Tensor]], prompt: str | Denoiser, shape: VideoShape, seed: int, *,
    strength: float = 1.0, region: Tensor | None = None, sampling: Sampling = DEFAULT,
) -> Tensor:  # fmt: skip
    """A video of `shape` in which given images or clips (`1 3 t h w`) appear at their seconds; below 0, from the end.

    Raises ValueError for no frames, a time outside the video, or frames or a `region` (`b h w`) of another size.
    """
    geometry, latent, known = geometry_of(sora), sora.latent_shape(shape), None
    sides = latent.height * geometry.space, latent.width * geometry.space
    if region is not None:
        if region.shape[1:] != (shape.height, shape.width):
            raise ValueError(
                f"the region is {tuple(region.shape)}; that of this video is b h w with {shape.height} x {shape.width}"
                " pixels (h x w)"
            )
        region = unframed(region[:, None, None].float(), shape, *sides)[:, 0, 0]
    for seconds, clip in frames:
        check_video(clip)
        if clip.shape[3:] != (shape.height, shape.width):
            raise ValueError(
                f"the frames are {clip.shape[4]}x{clip.shape[3]} but the video is {shape.width}x{shape.height}; resize"
                " the frames or choose their size for the video"
            )
        at = frame_at(seconds, shape.num_frames, shape.fps)
        clip = unframed(clip, shape, *sides)
        placed = place(geometry, sora.encode, clip, at, shape.num_frames, strength=strength, region=region)
        known = placed if known is None else merge(known, placed)
    if known is None:
        raise ValueError("no frames are given; place at least one image or clip")
    return regenerate(sora, known, prompt, shape.fps, seed, sampling)


def animate(
    sora: Sora, image: Tensor, prompt: str | Denoiser, shape: VideoShape, seed: int, *, sampling: Sampling = DEFAULT
) -> Tensor:
    """A video of `shape` that begins with `image` (`1 3 1 h w` in [0, 1])."""
    return keyframes(sora, [(0.0, image)], prompt, shape, seed, sampling=sampling)


def extend_video(
    sora: Sora, video: Tensor, prompt: str | Denoiser, fps: float, seed: int, *, before: float = 0.0,
    after: float = 0.0, context: float = 0.0, latent: Tensor | None = None, sampling: Sampling = DEFAULT,
) -> tuple[Tensor, Edit]:  # fmt: skip
    """Continue a video by seconds into its past, its future or both; also says which frames are the given ones.

    With `latent`, which is that of `video`, a continuation into the future keeps it as it is.
    Raises ValueError for a latent together with another direction or a context, and what `check_video` and `extend`
    raise.
    """
    check_video(video)
    geometry = geometry_of(sora)
    shown = round(context * fps) or int(context > 0)  # 0: all
    counts = {"before": round(before * fps), "after": round(after * fps), "context": shown}
    if latent is not None:
        if counts["before"] or counts["context"]:
            raise ValueError("a latent can only be extended forward and with all of it as context; leave it out")
        edit = extend_latent(geometry, latent, counts["after"], video.shape[2])
    else:
        edit = extend(geometry, sora.encode, video, **counts)
    return regenerate(sora, edit.known, prompt, fps, seed, sampling), edit


def loop(
    sora: Sora, prompt: str | Denoiser, shape: VideoShape, seed: int, *, sampling: Sampling = DEFAULT,
    noise: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The latent of a seamless loop for `vae.decode_circular`; its cells are all whole, so it decodes to 4t frames.

    `noise` `b c t h w` replaces that of `seed` and may be that of several loops.
    Raises ValueError for a video too short to loop.
    """
    latent = sora.latent_shape(shape, circular=True)
    check_loop(latent.frames)
    clean = torch.zeros(1 if noise is None else len(noise), *latent.dims)
    known = Known(clean, torch.ones(len(clean), 1, *clean.shape[2:]))
    return regenerate(sora, known, prompt, shape.fps, seed, sampling, circular=True, noise=noise)


def edit_video(
    sora: Sora, latent: Tensor, prompt: str | Denoiser, fps: float, seed: int, *,
    strength: float | tuple[float, float] = 0.6, region: Tensor | None = None, sampling: Sampling = DEFAULT,
) -> Tensor:  # fmt: skip
    """SDEdit: another prompt for the video of `latent`; a pair of strengths goes from its first to its last frame."""
    geometry = geometry_of(sora)
    check_channels(geometry, latent)
    start, end = strength if isinstance(strength, tuple) else (strength, strength)
    known = sdedit(geometry, latent, strengths(start, end, latent.shape[2]), region)
    return regenerate(sora, known, prompt, fps, seed, sampling)


@torch.inference_mode()
def flow_edit(
    sora: Sora, latent: Tensor, source_prompt: str | Denoiser, prompt: str | Denoiser, fps: float, seed: int, *,
    strength: float = 0.8, until: float = 0.0, source_guidance: float = 1.5, averages: int = 1,
    sampling: Sampling = DEFAULT,
) -> Tensor:  # fmt: skip
    """Change what `source_prompt` says of a video into what `prompt` says, without inverting it into noise.

    See `flowedit` for `until` and `averages`; its steps are Euler's, whatever the sampler of `sampling`.
    Raises ValueError for a strength outside (0, 1], wrong channels, and what `guide` and `flowedit` raise.
    """
    check_channels(geometry_of(sora), latent)
    if not 0 < strength <= 1:
        raise ValueError(f"strength is {strength}; it must be above 0 and at most 1")
    b, c, t, h, w = latent.shape
    shape = LatentShape(channels=c, frames=t, height=h, width=w)
    grid = shape.grid(sora.config.dit.patch)
    sigmas = sora.schedule(sampling.steps, grid[0] * grid[1] * grid[2], start=float(level(torch.tensor(strength))))
    source = guided(sora, source_prompt, b, fps, replace(sampling, guidance=source_guidance))
    target = guided(sora, prompt, b, fps, sampling)

    def noise(draw: int) -> Tensor:
        return draw_noise(shape, [seed + 7919 * draw + i for i in range(b)])

    return flowedit(source, target, latent, sigmas, noise, until=until, averages=averages, callback=sampling.callback)


def connect(
    sora: Sora, a: Tensor, b: Tensor, prompts: tuple[str | Denoiser, str | Denoiser], fps: float, seed: int, *,
    seconds: float = 1.0, context: float = 1.0, mode: str = "blend", curve: str = "smooth", peak: float = 1.0,
    sampling: Sampling = DEFAULT,
) -> tuple[Tensor, connecting.Connection]:  # fmt: skip
    """Turn video `a` gradually into `b` (`1 3 t h w`): "bridge" makes a new middle, "blend" regenerates an overlap.

    Raises ValueError for another mode, and what `bridge` and `blend` raise.
    """
    geometry, middle, shared = geometry_of(sora), round(seconds * fps), max(1, round(context * fps))
    if mode not in ("bridge", "blend"):
        raise ValueError(f"there is no way {mode!r} to connect videos; choose bridge or blend")
    if mode == "bridge":
        plan = connecting.bridge(geometry, sora.encode, a, b, middle, shared, curve)
    else:
        plan = connecting.blend(geometry, sora.encode, a, b, middle, shared, curve, peak)
    models = [conditional(sora, prompt, len(plan.known.clean), fps) for prompt in prompts]
    model = timed(models, torch.stack([1 - plan.weights, plan.weights]))
    lead = partial(connecting.led, course=plan.course, mask=plan.known.mask)
    return regenerate(sora, plan.known, model, fps, seed, sampling, lead=lead), plan


def finish_preview(
    sora: Sora, preview: Tensor, prompt: str, width: int, height: int, fps: float, seed: int, *,
    strength: float = 0.25, sampling: Sampling = DEFAULT,
) -> Tensor:  # fmt: skip
    """Make a small video (`1 3 t h w`) again at a larger size, with detail that the small one could not hold."""
    known = finish(geometry_of(sora), sora.encode, preview, height, width, strength)
    return regenerate(sora, known, prompt, fps, seed, sampling)


def timeline(
    sora: Sora, text: str, shape: VideoShape, seed: int, *, blend_seconds: float = 0.5, sampling: Sampling = DEFAULT
) -> Tensor:
    """A video whose prompt changes over time: lines such as "[0-2s] a red ball".

    Raises ValueError for a line that cannot be read, or that begins after the video's end.
    """
    segments, latent = parse(text), sora.latent_shape(shape)
    weights = timeline_weights(segments, geometry_of(sora), latent.frames, shape.fps, blend_seconds)
    model = timed([sora.denoiser([segment.prompt], fps=shape.fps) for segment in segments], weights)
    clean = torch.zeros(1, *latent.dims)
    return regenerate(sora, Known(clean, torch.ones(1, 1, *clean.shape[2:])), model, shape.fps, seed, sampling)
