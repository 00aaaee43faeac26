"""Example pictures of the help pages: which workflow makes each block's picture, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..video import IMAGES, VideoReader

HEIGHT, GAP, MOST_FRAMES = 128, 4, 24
BACKGROUND = "#1b1b1f"
QUALITY = 55


@dataclass(frozen=True)
class Example:
    """One picture: files of a workflow's results side by side, with widgets changed as `run_workflow` takes them.

    Where the workflow goes on from run to run, it is run again with more of them changed for each of `then`.
    """

    workflow: str
    files: tuple[int, ...] = (0,)
    inputs: dict[str, Any] = field(default_factory=dict)
    then: tuple[dict[str, Any], ...] = ()


EXAMPLES = {
    "SoraLoadModel": Example("text_to_video"),
    "SoraTextEncode": Example(
        "text_to_video",
        inputs={
            "SoraTextEncode.prompt": "a green cube slides to the right in the desert at sunset, the camera pans left"
        },
    ),
    "SoraExpandPrompt": Example("expand_prompt"),
    "SoraDescribeVideo": Example("describe_video", (0, 1)),
    "SoraNoiseGrid": Example("aspect_ratios", (0, 1, 2)),
    "SoraNoiseGridLike": Example("another_take", (0, 1)),
    "SoraSchedule": Example("stock_sampling"),
    "SoraSampler": Example("text_to_video", inputs={"SoraSampler.seed": 2}),
    "SoraLongVideoSampler": Example("long_video"),
    "SoraPlayWorld": Example(
        "play_world",
        inputs={"SoraPlayWorld.after": 0},
        then=(
            {"SoraPlayWorld.action": "A red ball stands still in a meadow during the day."},
            {"SoraPlayWorld.action": "A red ball stands still in a meadow during the day, the camera pushes in."},
        ),
    ),
    "SoraEncodeVideo": Example("stock_sampling", (0, 1)),
    "SoraDecodeVideo": Example("sdedit_style"),
    "SoraPlaceFrames": Example("first_last_keyframes"),
    "SoraExtendVideo": Example("extend_forward_backward", (0, 1, 2)),
    "SoraJoinVideos": Example("connect_two_videos", inputs={"SoraConnectVideos.mode": "bridge"}),
    "SoraSeamlessLoop": Example("seamless_loop", inputs={"SoraDecodeLoop.repeats": 1}),
    "SoraDecodeLoop": Example("seamless_loop", inputs={"SoraDecodeLoop.repeats": 1, "SoraSampler.seed": 4}),
    "SoraEditVideo": Example("sdedit_style", (0, 1)),
    "SoraFlowEdit": Example("flow_edit", (0, 1)),
    "SoraConnectVideos": Example("connect_two_videos"),
    "SoraPromptTimeline": Example("prompt_timeline"),
    "SoraFitModel": Example("connect_two_videos", inputs={"11.seed": 9}),
    "SoraTileModel": Example("preview_to_final", (0, 1)),
    "SoraResampleSampler": Example("resampled_border"),
    "SoraWorldClips": Example("measure_compression"),
    "SoraVideoMetrics": Example("measure_compression", (0, 1)),
    "SoraLoadClips": Example("train_model", inputs={"SoraSampler.seed": 2}),
    "SoraTrain": Example("train_model"),
}
"""By block: the picture `web/docs/media/<block>.webp`."""


def frames_of(path: Path) -> tuple[list[Image.Image], float]:
    """All frames of a result as pictures, and its frames per second; an image is one frame."""
    if path.suffix.lower() in IMAGES:
        return [Image.open(path).convert("RGB")], 8.0
    with VideoReader(path) as reader:
        frames = torch.cat(list(reader))
        return [Image.fromarray(frame.numpy()) for frame in frames], reader.fps


def animation(paths: list[Path]) -> tuple[list[Image.Image], float]:
    """Clips side by side, at most `MOST_FRAMES` evenly spaced moments of them, and how many are shown per second."""
    clips, rates = zip(*map(frames_of, paths), strict=True)
    length = max(map(len, clips))
    count = min(length, MOST_FRAMES)
    moments = torch.linspace(0, length - 1, count).round().long().tolist()
    widths = [round(clip[0].width * HEIGHT / clip[0].height) for clip in clips]
    pictures = []
    for moment in moments:
        sheet = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), HEIGHT), BACKGROUND)
        x = 0
        for clip, width in zip(clips, widths, strict=True):
            frame = clip[min(moment, len(clip) - 1)]
            sheet.paste(frame.resize((width, HEIGHT), Image.Resampling.LANCZOS), (x, 0))
            x += width + GAP
        pictures.append(sheet)
    # A minute of video shown in 24 moments would crawl at its own pace.
    return pictures, max(rates) if count == length else 8.0


def save_picture(paths: list[Path], target: Path) -> None:
    """Writes an endless animated WebP of some results."""
    (first, *rest), rate = animation(paths)
    target.parent.mkdir(parents=True, exist_ok=True)
    first.save(
        target, save_all=True, append_images=rest, duration=round(1000 / rate), loop=0, quality=QUALITY, method=6
    )
