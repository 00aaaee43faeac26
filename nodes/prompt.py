"""The block that turns what is wished for, and what is not, into conditioning."""

from __future__ import annotations

from comfy_api.latest import io

from .schema import schema


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
        return io.NodeOutput(
            clip.encode_from_tokens_scheduled(clip.tokenize(prompt)),
            clip.encode_from_tokens_scheduled(clip.tokenize(negative)),
        )
