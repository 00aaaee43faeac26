"""Sora for ComfyUI: what ComfyUI reads when it loads this folder as a custom-node pack."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import SoraExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> "SoraExtension":
    """Hands ComfyUI the extension; importing here keeps a plain import of this file free of ComfyUI and torch."""
    import sys

    # ComfyUI itself runs with older ones, to which the nodes are errors of syntax.
    if sys.version_info < (3, 11):  # noqa: UP036
        found = ".".join(map(str, sys.version_info[:2]))
        raise RuntimeError(f"Sora needs Python 3.11 or newer, and this ComfyUI runs with {found}; update its Python")
    _provide_library()
    from .nodes import comfy_entrypoint as entrypoint

    return await entrypoint()


def _provide_library() -> None:
    """Makes this folder's sora_core importable by its name.

    Packs are cloned rather than installed, and the folder may not go on sys.path: there nodes/ would hide ComfyUI's
    module of that name. An older sora_core in site-packages must not win over the one that these nodes need.
    """
    import sys
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    if "sora_core" in sys.modules:
        return
    folder = Path(__file__).parent / "sora_core"
    spec = spec_from_file_location("sora_core", folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules["sora_core"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["sora_core"])
