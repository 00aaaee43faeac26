"""One real ComfyUI server for all headless tests, with the pack and a few misbehaving nodes in it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sora_core.headless.comfyui import make_base_directory
from sora_core.headless.server import ComfyServer, comfy_server

HERE = Path(__file__).resolve().parent

Prompt = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base directory with the pack and the test nodes linked."""
    base = make_base_directory(tmp_path_factory.mktemp("base"))
    (base / "custom_nodes" / "nodes_for_tests").symlink_to(HERE / "nodes_for_tests", target_is_directory=True)
    return base


@pytest.fixture(scope="session")
def models(base: Path, nano_file: Path) -> Path:
    """models/sora of the server, with the nano model in it as nano.safetensors."""
    folder = base / "models" / "sora"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(nano_file, folder / "nano.safetensors")
    return folder


@pytest.fixture(scope="session")
def server(comfyui: Path, base: Path) -> Iterator[ComfyServer]:
    """A running server; a test may break a job on it, but not the server."""
    with comfy_server(comfyui, base) as running:
        yield running


@pytest.fixture
def idle(server: ComfyServer) -> Callable[[], bool]:
    """Tells whether the server has nothing to do."""

    def check() -> bool:
        queue = server.get("/queue")
        return not queue["queue_running"] and not queue["queue_pending"]

    return check


@pytest.fixture
def workflows() -> Path:
    """UI workflows for tests, with their API twins in api/."""
    return HERE / "workflows"


def chain(*middle: tuple[str, dict[str, Any]], end: str = "SaveImage", color: int = 255) -> Prompt:
    """Returns EmptyImage -> middle nodes -> `end` in API format, with ids "1", "2", ..."""
    prompt: Prompt = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 24, "batch_size": 1, "color": color}}
    }
    for name, inputs in middle:
        last = str(len(prompt))
        prompt[str(len(prompt) + 1)] = {"class_type": name, "inputs": {"image": [last, 0], **inputs}}
    image = "images" if end in ("SaveImage", "PreviewImage") else "image"
    inputs = {image: [str(len(prompt)), 0]} | ({"filename_prefix": "test"} if end == "SaveImage" else {})
    prompt[str(len(prompt) + 1)] = {"class_type": end, "inputs": inputs}
    return prompt


@pytest.fixture(name="chain")
def chain_fixture() -> Callable[..., Prompt]:
    """The builder of small graphs; see `chain`."""
    return chain
