"""The shipped editing workflows on a real server: both formats agree, and each makes the videos that it promises."""

import json
import shutil

import av
import pytest

from sora_core.headless.comfy_program import to_api
from sora_core.headless.runner import run_prompt
from sora_core.headless.workflow import read_workflow

RUN = {
    "image_animation": [16],
    "first_last_keyframes": [16],
    "extend_forward_backward": [17, 17, 17, 17, 17],
    "seamless_loop": [60],
    "sdedit_style": [16, 16],
    "connect_two_videos": [24],
    "preview_to_final": [16, 16],
    "prompt_timeline": [16],
    "long_video": [480],
}
"""Frames of each video that a workflow saves, in the order of its nodes."""
FOR_BIG_MODELS = ("wan_seamless_loop", "ltx_extend", "hunyuan_connect")
SMALL = {"SoraNoiseGrid": {"width": 32, "height": 32}, "SoraSampler": {"steps": 2},
         "SoraEditVideo": {"steps": 2}, "SoraLongVideoSampler": {"steps": 1}}  # fmt: skip
NANO = "nano.safetensors"


@pytest.fixture(scope="module")
def folder(root):
    return root / "workflows"


@pytest.fixture(scope="module")
def models(base, nano_file):
    folder = base / "models" / "sora"
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.copy(nano_file, folder / NANO)


def frames_of(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


@pytest.mark.parametrize("name", [*RUN, *FOR_BIG_MODELS])
def test_ui_workflow_converts_to_its_twin(server, folder, name):
    converted = to_api(folder / f"{name}.json", server)
    for node in converted.values():
        node.pop("_meta", None)
    assert converted == json.loads((folder / "api" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", [*RUN, *FOR_BIG_MODELS])
def test_every_node_and_input_is_in_the_catalogue(server, folder, name):
    known = server.get("/object_info")
    prompt = json.loads((folder / "api" / f"{name}.json").read_text())
    for node in prompt.values():
        inputs = known[node["class_type"]]["input"]
        assert set(inputs["required"]) <= set(node["inputs"])
        assert set(node["inputs"]) <= set(inputs["required"]) | set(inputs.get("optional", {}))
        for value in node["inputs"].values():
            if isinstance(value, list):
                assert len(known[prompt[value[0]]["class_type"]]["output"]) > value[1]


@pytest.mark.parametrize("name", [*RUN, *FOR_BIG_MODELS])
def test_workflow_reads_from_left_to_right_and_explains_itself(folder, name):
    graph = json.loads((folder / f"{name}.json").read_text())
    places = {node["id"]: node["pos"][0] for node in graph["nodes"]}
    assert all(places[source] < places[target] for _, source, _, target, *_ in graph["links"])
    boxes = [(*node["pos"], *node["size"]) for node in graph["nodes"]]
    for i, (x, y, w, h) in enumerate(boxes):
        assert all(x >= a + c or a >= x + w or y >= b + d or b >= y + h for a, b, c, d in boxes[:i]), "nodes overlap"
    (note,) = [node for node in graph["nodes"] if node["type"] == "Note"]
    assert len(note["widgets_values"][0].splitlines()) == 5


@pytest.mark.parametrize("name", RUN)
def test_editing_workflow_makes_its_videos(server, folder, models, name):
    prompt = read_workflow(folder / "api" / f"{name}.json")[1]
    for node in prompt.values():
        node["inputs"].update(SMALL.get(node["class_type"], {}))
        if node["class_type"] == "SoraLoadModel":
            node["inputs"]["checkpoint"] = NANO
        if node["class_type"] == "SoraEditVideo" and node["inputs"]["width"]:
            node["inputs"] |= {"width": 64, "height": 64}
    files = run_prompt(prompt, server).files
    assert [frames_of(file) for file in files] == RUN[name]
