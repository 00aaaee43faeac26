"""The block that loads a Sora model file."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .comfy_model.loading import DTYPES, load
from .folders import model_names, model_path, model_state
from .schema import advanced, chosen, schema


def checkpoint_input(tooltip: str) -> Any:
    """Which model file to begin with."""
    names = model_names()
    return io.Combo.Input("checkpoint", options=names, default=names[0], tooltip=tooltip)


class SoraLoadModel(io.ComfyNode):
    """One file becomes MODEL, CLIP and VAE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraLoadModel",
            display_name="Load Sora Model",
            description="Loads a Sora model: the network that generates, the text encoder and the video VAE.",
            search_aliases=["checkpoint", "text to video model"],
            inputs=[
                checkpoint_input(
                    "The small model that comes with this pack, or a .safetensors file in models/sora or output/sora."
                ),
                advanced(
                    io.Combo,
                    "dtype",
                    options=list(DTYPES),
                    default="automatic",
                    tooltip="Precision of the generating network; automatic lets ComfyUI choose for your hardware.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For any sampler."),
                io.Clip.Output(display_name="clip", tooltip="For Sora Prompts or the stock CLIP Text Encode."),
                io.Vae.Output(display_name="vae", tooltip="Turns video into latents and back."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str | None, dtype: str) -> str:
        """A file that was replaced is loaded again."""
        return model_state(checkpoint)

    @classmethod
    def execute(cls, checkpoint: str, dtype: str) -> io.NodeOutput:
        return io.NodeOutput(*load(model_path(checkpoint), chosen("dtype", dtype, DTYPES)))
