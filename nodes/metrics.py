"""The block that measures a video, and how near it is to another."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .editing_media import movie_input
from .movie import frames_of, interruptible
from .prompt import told
from .schema import advanced, schema


class SoraVideoMetrics(io.ComfyNode):
    """Numbers of a video, measured as it streams by."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraVideoMetrics",
            display_name="Sora Video Metrics",
            description="Measures how evenly a video goes on and whether it closes as a loop, and with a reference how"
            " near it is to that, frame by frame. Videos on file are measured as they are read, however long they are.",
            search_aliases=["psnr", "ssim", "flicker", "compare videos", "quality", "loop check"],
            inputs=[
                movie_input("video", "The video or the images to measure; transparency is not looked at."),
                movie_input(
                    "reference",
                    "What the video should be like, of the same size and number of frames; without it, only how the"
                    " video goes on is measured.",
                    optional=True,
                ),
                advanced(
                    io.Float, "fps", default=0.0, min=0.0, max=240.0, step=0.1,
                    tooltip="Frames per second of images, for the times in the report; 0 takes 8. A VIDEO knows its"
                    " own.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="Everything measured, in a few lines."),
                io.Float.Output(
                    display_name="psnr",
                    tooltip="Peak signal-to-noise ratio to the reference in dB: 30 is good, 100 is equal; 0 without a"
                    " reference.",
                ),
                io.Float.Output(
                    display_name="ssim",
                    tooltip="Structural similarity to the reference: 1 is equal; 0 without a reference.",
                ),
                io.Float.Output(
                    display_name="flicker",
                    tooltip="How much of the error changes from frame to frame: 0 stands still, 1.41 is new in every"
                    " frame; 0 where there is no error, one frame or no reference.",
                ),
                io.Float.Output(
                    display_name="jump",
                    tooltip="The largest step from frame to frame over the median step: about 1 in even motion; at most"
                    " 1000, which is a step where most frames stand still; 0 if all do.",
                ),
                io.Float.Output(
                    display_name="closing",
                    tooltip="The step from the last frame to the first over the median step: about 1 in a seamless"
                    " loop; at most 1000, which is a step where most frames stand still; 0 if the last is the first.",
                ),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(cls, video: Any, reference: Any = None, fps: float = 0.0) -> io.NodeOutput:
        from sora_core.evaluation.comparison import measure

        frames, rate, total = frames_of(video, 16, fps)
        others = None
        if reference is not None:
            others, _, others_total = frames_of(reference, 16)
            if total != others_total:
                raise ValueError(
                    f"the video has {total} frames and the reference {others_total}; give both the same number"
                )
        found = measure(interruptible(frames, total), others)
        like = found.likeness
        alike = (like.psnr, like.ssim, like.flicker) if like else (0.0, 0.0, 0.0)
        return told(found.report(rate), *alike, found.jump, found.closing)
