"""A real ComfyUI in this process, and the pack's adapters inside it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from sora_core.headless.comfyui import extra_python_path, find_comfyui

ROOT = Path(__file__).parents[1]


def comfyui() -> Path:
    """The ComfyUI of COMFYUI_DIR, or the one that was set up. Raises ImportError when there is none."""
    home = find_comfyui()
    if home is None:
        raise ImportError("no ComfyUI there; `make demo` sets one up")
    return home


def prepare(*, pytorch_attention: bool) -> None:
    """Make ComfyUI importable, on the CPU, with PyTorch's attention or with what ComfyUI chooses itself.

    Raises ImportError when no ComfyUI has been set up (`make demo` does).
    """
    home = comfyui()
    for path in (*extra_python_path(), home):
        if str(path) not in sys.path:
            sys.path.append(str(path))
    # The repository has a folder of the name of one of ComfyUI's modules.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu, args.disable_api_nodes, args.use_pytorch_cross_attention = True, True, pytorch_attention
    args.base_directory = tempfile.gettempdir()
    import comfy.ops


def adapter() -> ModuleType:
    """The module of the pack that makes Sora's transformer one of ComfyUI's, without the blocks around it."""
    spec = spec_from_file_location("sora_blocks", ROOT / "nodes" / "__init__.py", submodule_search_locations=[
        str(ROOT / "nodes")
    ])  # fmt: skip
    assert spec is not None
    sys.modules["sora_blocks"] = module_from_spec(spec)  # a package to import from; its own code is not needed
    return import_module("sora_blocks.comfy_model.transformer")


def blocks() -> Any:
    """ComfyUI's own module `nodes` with all stock blocks and the pack's: `blocks().NODE_CLASS_MAPPINGS`."""
    import_module("utils.extra_config")  # ComfyUI's package `utils` has to be known before anything else takes the name
    nodes = import_module("nodes")
    asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    assert asyncio.run(nodes.load_custom_node(str(ROOT))), "ComfyUI could not import the pack; its log says why"
    return nodes


def run(nodes: Any, block_id: str, **inputs: Any) -> Any:
    """What a block returns when the executor calls it; widgets that are not given have their defaults."""
    block = nodes.NODE_CLASS_MAPPINGS[block_id]
    for name, (kind, about) in ((n, (*spec, {})[:2]) for n, spec in block.INPUT_TYPES()["required"].items()):
        inputs.setdefault(name, about.get("default", kind[0] if isinstance(kind, list) else None))
    if hasattr(block, "define_schema"):
        return block.EXECUTE_NORMALIZED(**inputs).args
    return getattr(block(), block.FUNCTION)(**inputs)
