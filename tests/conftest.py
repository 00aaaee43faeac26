"""Fixtures for all tests: a real ComfyUI in this process, and the pack as ComfyUI's own loader imports it."""

import asyncio
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# `python -m pytest` puts the repository root first, where nodes/ would hide ComfyUI's module of the same name.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


TOGETHER = ("browser", "headless")
"""Folders whose tests share one server; of the others, those of a file stay together when processes share tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Says which tests belong together when several processes share them, as in `make test`."""
    for item in items:
        path = item.path.relative_to(ROOT / "tests")
        group = path.parts[0] if path.parts[0] in TOGETHER else str(path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository, which is also the folder of the pack."""
    return ROOT


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The root of a real ComfyUI."""
    from sora_core.headless.comfyui import find_or_fetch

    return find_or_fetch()


@pytest.fixture(scope="session")
def comfy(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """ComfyUI's own top-level module `nodes`, in this process, with all core nodes loaded and no custom ones.

    `execution`, `folder_paths`, `comfy` and the rest can be imported after it. Costs about ten seconds, once.
    """
    from sora_core.headless.comfyui import extra_python_path

    sys.path.insert(0, str(comfyui))
    sys.path.extend(extra_python_path())
    importlib.import_module("comfy.options").enable_args_parsing(False)
    args = importlib.import_module("comfy.cli_args").args
    args.cpu = True
    args.disable_api_nodes = True
    args.base_directory = str(tmp_path_factory.mktemp("comfy"))
    # ComfyUI's package `utils` has to be known before anything else claims the name.
    importlib.import_module("utils.extra_config")
    nodes = importlib.import_module("nodes")
    asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    return nodes


@pytest.fixture(scope="session")
def pack(comfy: ModuleType, root: Path) -> ModuleType:
    """The pack's root module, imported and registered by the in-process ComfyUI; submodules are attributes of it."""
    before = set(comfy.NODE_CLASS_MAPPINGS)
    assert asyncio.run(comfy.load_custom_node(str(root))), "ComfyUI could not import the pack; its log says why"
    assert set(comfy.NODE_CLASS_MAPPINGS) - before, "the pack registered no node"
    return sys.modules[str(root).replace(".", "_x_")]


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """Writes a model file of a configuration; its weights are random, but every layer has an effect."""
    import torch

    from sora_core.checkpoint import build_parts, save_checkpoint
    from sora_core.randomness import generator

    def write(config: Any) -> Path:
        draws, parts = generator(0, "nano for tests"), build_parts(config)
        for module in parts.values():
            for name, parameter in module.named_parameters():
                inputs = parameter[0].numel() if parameter.ndim > 1 else 50
                torch.nn.init.normal_(parameter, std=inputs**-0.5, generator=draws)
                if name.endswith("norm.weight"):
                    torch.nn.init.ones_(parameter)
        path = tmp_path_factory.mktemp(config.name) / f"{config.name}.safetensors"
        save_checkpoint(path, config, {part: module.state_dict() for part, module in parts.items()})
        return path

    return write


@pytest.fixture(scope="session")
def nano_file(model_file: Callable[[Any], Path]) -> Path:
    """A model file of the smallest family member."""
    from sora_core.config import preset

    return model_file(preset("nano"))
