"""The block that turns what is wished for, and what is not, into conditioning."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .schema import schema


def encoded(clip: Any, text: str) -> Any:
    """CONDITIONING of a prompt. Raises ValueError when the loader found no text encoder."""
    if clip is None:
        raise ValueError(
            "the checkpoint loader found no text encoder in its file: take the CLIP of Load Sora Model for Sora's"
            " files, or of Load CLIP"
        )
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


class SoraTextEncode(io.ComfyNode):
    """Both prompts in one block."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraTextEncode",
            display_name="Sora Prompts",
            description="Encodes the prompt and the negative prompt.",
            search_aliases=["prompt", "clip text encode"],
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of Load Sora Model, or of any other loader."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="a red ball bounces across a meadow on a sunny day",
                    tooltip="What the video shows, in English or Chinese: what, where, how it and the camera move.",
                ),
                io.String.Input(
                    "negative",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    tooltip="What the video should be steered away from; empty is fine.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The encoded prompt."),
                io.Conditioning.Output(display_name="negative", tooltip="The encoded negative prompt."),
            ],
        )

    @classmethod
    def execute(cls, clip: io.Clip.Type, prompt: str, negative: str) -> io.NodeOutput:
        return io.NodeOutput(encoded(clip, prompt), encoded(clip, negative))
