"""Sora Play World on a real server: one turn for each press of Run, and another server goes on from the last one."""

import av
import pytest

from sora_core.headless.runner import run_prompt
from sora_core.headless.server import comfy_server
from sora_core.headless.workflow import read_workflow

NANO = "nano.safetensors"


@pytest.fixture
def pressed(models, root):
    """The play_world workflow on the nano model, with a play of its own."""
    prompt = read_workflow(root / "workflows" / "api" / "play_world.json")[1]
    changes = {"SoraLoadModel": {"checkpoint": NANO}, "SoraNoiseGrid": {"width": 32, "height": 32},
               "SoraPlayWorld": {"steps": 1, "play": "a play of its own"}}  # fmt: skip
    for node in prompt.values():
        node["inputs"].update(changes.get(node["class_type"], {}))
    return prompt


def frames_of(result) -> int:
    (path,) = result.files
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


def test_each_press_of_run_is_one_turn_on_any_server(server, comfyui, base, pressed):
    assert [frames_of(run_prompt(pressed, server)) for _ in range(2)] == [16, 24]
    with comfy_server(comfyui, base) as another:
        assert frames_of(run_prompt(pressed, another)) == 32
    turns = base / "output" / "sora_worlds" / "a play of its own"
    names = {f"0000{number}.{kind}" for number in (1, 2, 3) for kind in ("mp4", "safetensors")}
    assert {path.name for path in turns.iterdir()} == names
