"""The block that tells what a video shows."""

from __future__ import annotations

from functools import cache
from typing import Any

from comfy_api.latest import io

from sora_core.randomness import generator

from .editing_media import movie_input
from .movie import frames_of, interruptible
from .prompt import told
from .sampling_inputs import seed_input
from .schema import advanced, chosen, schema

LANGUAGES = {"English": "en", "Chinese": "zh"}


class SoraDescribeVideo(io.ComfyNode):
    """A detailed caption of a video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraDescribeVideo",
            display_name="Sora Describe Video",
            description="Tells in detail what a video or a picture shows: toy, colour, place, light, motion, camera. It"
            " knows the small world of Sora Mini, and calls everything else by what is nearest in it.",
            search_aliases=["caption", "video to text", "image to text", "recaption", "interrogate"],
            has_intermediate_output=True,
            inputs=[
                movie_input(
                    "video",
                    "The video or the images to describe; one image, or less than a quarter of a second,"
                    " without motion.",
                ),
                io.Combo.Input("language", options=list(LANGUAGES), default="English", tooltip="Of the caption."),
                io.Float.Input(
                    "temperature", default=0.0, min=0.0, max=2.0, step=0.05,
                    tooltip="0 says it in the likeliest words; above, words are drawn: 0.5 varies them, 1 errs.",
                ),
                seed_input("Another seed draws other words, if the temperature is above 0."),
                advanced(
                    io.Float, "fps", default=0.0, min=0.0, max=240.0, step=0.1,
                    tooltip="Frames per second of images; 0 takes 8. A VIDEO knows its own.",
                ),
            ],
            outputs=[io.String.Output(display_name="caption", tooltip="What the video shows, as a prompt says it.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, video: Any, language: str, temperature: float, seed: int, fps: float = 0.0) -> io.NodeOutput:
        from sora_core.text.captioner import glimpses, tell

        words = LANGUAGES[chosen("language", language, LANGUAGES)]
        chunks, rate, total = frames_of(video, 16, fps)
        look = captioner().look(glimpses(interruptible(chunks, total), rate))
        draws = generator(seed, "describe")
        return told(tell(captioner(), look, words, temperature=temperature, draws=draws)[0])


@cache
def captioner() -> Any:
    """The bundled captioner, read once; it is small and computes on the CPU."""
    from sora_core.text.captioner import load_captioner

    return load_captioner()
