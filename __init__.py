"""Sora for ComfyUI: what ComfyUI reads when it loads this folder as a custom-node pack."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import SoraExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> "SoraExtension":
    """Hands ComfyUI the extension; importing here keeps a plain import of this file free of ComfyUI and torch."""
    from .nodes import comfy_entrypoint as entrypoint

    return await entrypoint()
