"""What every template promises: both formats agree, it is tidy and explains itself, it has a picture, and it runs."""

import json
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from sora_core.headless.comfy_program import to_api
from sora_core.headless.runner import run_prompt
from sora_core.headless.thumbnails import HEIGHT, WIDTH
from sora_core.headless.workflow import read_workflow
from sora_core.text.recognise import recognise
from sora_core.text.timeline import parse
from sora_core.video import VideoWriter

FOLDER = Path(__file__).resolve().parents[2] / "workflows"
TEMPLATES = sorted(path.stem for path in FOLDER.glob("*.json"))
NANO = "nano.safetensors"
SMALL = {"SoraNoiseGrid": {"width": 32, "height": 32}, "SoraWorldClips": {"width": 32, "height": 32},
         "SoraSampler": {"steps": 2}, "SoraSchedule": {"steps": 2},
         "SoraEditVideo": {"steps": 2}, "SoraFlowEdit": {"steps": 2}, "SoraLongVideoSampler": {"steps": 1},
         "SoraPlayWorld": {"steps": 2}, "KSampler": {"steps": 2},
         "SoraTrain": {"steps": 2, "checkpoint": NANO}}  # fmt: skip
FRAMES = {
    "aspect_ratios": [16, 16, 16],
    "another_take": [16, 17],
    "connect_two_videos": [32],
    "describe_video": [16, 16],
    "expand_prompt": [16],
    "extend_forward_backward": [17, 17, 17, 17, 17],
    "first_last_keyframes": [16],
    "flow_edit": [16, 16],
    "hunyuan_connect": [72],
    "image_animation": [16],
    "long_video": [480],
    "ltx_extend": [120],
    "measure_compression": [16, 16],
    "play_world": [16],
    "preview_to_final": [16, 16],
    "prompt_timeline": [16],
    "resampled_border": [17],
    "sdedit_style": [16, 16],
    "seamless_loop": [60],
    "stock_sampling": [16, 16],
    "text_to_image": [1, 1, 1, 1],
    "text_to_video": [16],
    "train_model": [16],
    "wan_keyframes": [120],
    "wan_seamless_loop": [156],
}
"""Frames of each file that a template saves, in the order of its nodes."""
SORA_OUTPUTS = {"UNETLoader": [0], "CLIPLoader": [1], "DualCLIPLoader": [1], "VAELoader": [2],
                "CheckpointLoaderSimple": [0, 1, 2]}  # fmt: skip
"""For loaders of other models: which outputs of Load Sora Model take the place of theirs."""


@pytest.fixture(scope="module")
def material(base, models):
    """The nano model, and the videos and pictures that templates for other models load."""
    draws = torch.Generator().manual_seed(0)
    for name in ("video.mp4", "first.mp4", "second.mp4"):
        with VideoWriter(base / "input" / name, 32, 32, 24) as writer:
            writer.write(torch.rand(48, 32, 32, 3, generator=draws))
    for name, colour in {"first.png": "red", "middle.png": "green", "last.png": "blue"}.items():
        Image.new("RGB", (48, 32), colour).save(base / "input" / name)


def graph_of(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def shrunk(name):
    """A template on the nano model with few steps and pixels; loaders of models of many gigabytes become ours."""
    prompt = read_workflow(FOLDER / "api" / f"{name}.json")[1]
    loaders = {
        key: SORA_OUTPUTS[node["class_type"]] for key, node in prompt.items() if node["class_type"] in SORA_OUTPUTS
    }
    for key in loaders:
        del prompt[key]
    for node in prompt.values():
        for field, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in loaders:
                node["inputs"][field] = ["sora", loaders[value[0]][value[1]]]
        node["inputs"].update(SMALL.get(node["class_type"], {}))
        if node["class_type"] == "SoraLoadModel":
            node["inputs"]["checkpoint"] = NANO
        if node["class_type"] == "SoraEditVideo" and node["inputs"]["width"]:
            node["inputs"] |= {"width": 64, "height": 64}
    if loaders:
        prompt["sora"] = {"class_type": "SoraLoadModel", "inputs": {"checkpoint": NANO, "dtype": "automatic"}}
    return prompt


def frames_of(path):
    if path.suffix == ".png":
        return Image.open(path).size and 1
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_runs_and_makes_all_its_files(server, material, name):
    assert [frames_of(path) for path in run_prompt(shrunk(name), server).files] == FRAMES[name]


@pytest.mark.parametrize("name", TEMPLATES)
def test_page_format_converts_to_its_twin(server, name):
    converted = to_api(FOLDER / f"{name}.json", server)
    for node in converted.values():
        node.pop("_meta", None)
    assert converted == json.loads((FOLDER / "api" / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_node_and_input_is_in_the_catalogue(server, name):
    known = server.get("/object_info")
    prompt = json.loads((FOLDER / "api" / f"{name}.json").read_text("utf-8"))
    for node in prompt.values():
        inputs = known[node["class_type"]]["input"]
        assert set(inputs["required"]) <= set(node["inputs"])
        assert set(node["inputs"]) <= set(inputs["required"]) | set(inputs.get("optional", {}))
        for value in node["inputs"].values():
            if isinstance(value, list):
                assert len(known[prompt[value[0]]["class_type"]]["output"]) > value[1]


def test_every_block_is_used_by_a_template(root):
    used = {node["type"] for name in TEMPLATES for node in graph_of(name)["nodes"]}
    blocks = json.loads((root / "tests" / "nodes" / "contract.json").read_text("utf-8"))
    assert set(blocks) <= used


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_reads_from_left_to_right_without_overlaps(name):
    graph = graph_of(name)
    places = {node["id"]: node["pos"][0] for node in graph["nodes"]}
    assert all(places[source] < places[target] for _, source, _, target, *_ in graph["links"])
    boxes = [(*node["pos"], *node["size"]) for node in graph["nodes"]]
    for i, (x, y, w, h) in enumerate(boxes):
        assert all(x >= a + c or a >= x + w or y >= b + d or b >= y + h for a, b, c, d in boxes[:i]), "nodes overlap"


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_explains_itself_and_names_its_packs(name):
    nodes = graph_of(name)["nodes"]
    (note,) = [node for node in nodes if node["type"] == "Note"]
    assert len(note["widgets_values"][0].splitlines()) == 5
    for node in nodes:
        if node is not note:
            pack = "sora-video" if node["type"].startswith("Sora") else "comfy-core"
            assert node["properties"]["cnr_id"] == pack, node["type"]


def test_long_video_asks_for_nothing_that_later_windows_cannot_change():
    """Sora Mini goes on from what it sees: place and light stay, whatever the prompts say; motion and camera follow."""
    (block,) = [node for node in graph_of("long_video")["nodes"] if node["type"] == "SoraPromptTimeline"]
    asked = [recognise(segment.prompt) for segment in parse(block["widgets_values"][0])]
    for attribute in ("subject", "colour", "environment", "time"):
        assert len({known[attribute] for known in asked}) == 1, attribute
    assert len({(known["motion"], known.get("camera")) for known in asked}) == len(asked)


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_has_a_picture(name):
    assert Image.open(FOLDER / f"{name}.jpg").size == (WIDTH, HEIGHT)
