"""The blocks that make a long prompt of a short one, and conditioning of what is wished for and what is not."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.latest import io

from sora_core.randomness import generator

from .sampling_inputs import seed_input
from .schema import chosen, schema

LANGUAGES = {"automatic": None, "English": "en", "Chinese": "zh"}
"""In which language a prompt is gone on with."""


def panel_text(text: str) -> dict[str, list[str]]:
    """The `ui` of a block whose panel shows a text; the log shows it, too."""
    logging.info("Sora: %s", text)
    return {"sora_text": [text]}


def told(text: str, *more: Any) -> io.NodeOutput:
    """A text that the log and the block's own panel show, and that goes on to other blocks, with `more` beside it."""
    return io.NodeOutput(text, *more, ui=panel_text(text))


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


class SoraExpandPrompt(io.ComfyNode):
    """A long prompt from a short one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraExpandPrompt",
            display_name="Sora Expand Prompt",
            description="Makes a long, descriptive prompt of a short one: what it says stays word for word, and what it"
            " leaves open (place, time of day, motion, camera) is drawn at random. Needs no network and no download.",
            search_aliases=["prompt enhancer", "prompt upsampling", "rewrite prompt"],
            has_intermediate_output=True,
            inputs=[
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="a red ball",
                    tooltip="What the video shows; as short as you like.",
                ),
                seed_input("Another seed draws other details."),
                io.Combo.Input(
                    "language",
                    options=list(LANGUAGES),
                    default="automatic",
                    tooltip="Of what is added; automatic is Chinese if the prompt has Chinese characters.",
                ),
            ],
            outputs=[io.String.Output(display_name="prompt", tooltip="For the prompt of Sora Prompts.")],
        )

    @classmethod
    def execute(cls, prompt: str, seed: int, language: str) -> io.NodeOutput:
        from sora_core.text.expander import expand  # the lexicon would make ComfyUI start a tenth of a second later

        words = LANGUAGES[chosen("language", language, LANGUAGES)]
        return told(expand(prompt, generator(seed, "expand"), words))
