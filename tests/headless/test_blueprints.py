"""Blueprints, ready-made groups of blocks: the server offers them, each is one sound group, and each runs."""

import json
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from sora_core.headless.comfy_program import to_api
from sora_core.headless.runner import run_prompt
from sora_core.video import VideoWriter

FOLDER = Path(__file__).resolve().parents[2] / "subgraphs"
FRAMES = {
    "Sora Animate": 16,
    "Sora Connect": 26,
    "Sora Edit": 17,
    "Sora Extend": 25,
    "Sora Loop": 60,
    "Sora Text to Video": 16,
}
"""Frames of the video that each makes out of sources of 17 frames at 8 per second."""
SOURCES = {"IMAGE": ("LoadImage", "picture.png"), "VIDEO": ("LoadVideo", "clip.mp4")}
SMALL = {"SoraNoiseGrid": {"width": 32, "height": 32}, "SoraSampler": {"steps": 2}, "SoraEditVideo": {"steps": 2},
         "SoraLoadModel": {"checkpoint": "nano.safetensors"}}  # fmt: skip


def content(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def material(base, models):
    Image.new("RGB", (32, 32), "red").save(base / "input" / "picture.png")
    with VideoWriter(base / "input" / "clip.mp4", 32, 32, 8) as writer:
        writer.write(torch.rand(17, 32, 32, 3, generator=torch.Generator().manual_seed(0)))


def in_a_graph(name):
    """A graph of a blueprint, with a source for each of its inputs and Save Video behind it."""
    graph = content(name)
    (block,) = graph["nodes"]
    for slot, entry in enumerate(entry for entry in block["inputs"] if "widget" not in entry):
        kind, file = SOURCES[entry["type"]]
        node = {"id": 10 + slot, "type": kind, "pos": [-400, 400 * slot], "size": [300, 300], "flags": {}, "order": 0}
        node |= {"mode": 0, "inputs": [], "outputs": [{"name": entry["type"], "type": entry["type"], "links": [slot]}]}
        graph["nodes"].append(node | {"properties": {}, "widgets_values": [file, "image"]})
        graph["links"].append([slot, node["id"], 0, block["id"], slot, entry["type"]])
        entry["link"] = slot
    saved = {"id": 20, "type": "SaveVideo", "pos": [600, 0], "size": [300, 300], "flags": {}, "order": 9, "mode": 0}
    saved |= {"inputs": [{"name": "video", "type": "VIDEO", "link": 9}], "outputs": [], "properties": {}}
    graph["nodes"].append(saved | {"widgets_values": ["blueprint", "auto", "auto"]})
    graph["links"].append([9, block["id"], 0, 20, 0, "VIDEO"])
    block["outputs"][0]["links"] = [9]
    return graph


def test_server_offers_every_blueprint(server):
    offered = {entry["name"]: key for key, entry in server.get("/global_subgraphs").items()}
    assert set(offered) >= set(FRAMES) == {path.stem for path in FOLDER.glob("*.json")}
    for name in FRAMES:
        entry = server.get(f"/global_subgraphs/{offered[name]}")
        assert entry["info"]["node_pack"] == "custom_nodes.sora-video"
        assert json.loads(entry["data"]) == content(name)


@pytest.mark.parametrize("name", FRAMES)
def test_blueprint_runs_inside_a_graph(server, material, tmp_path, name):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(in_a_graph(name)))
    prompt = to_api(path, server)
    for node in prompt.values():
        node["inputs"].update(SMALL.get(node["class_type"], {}))
    (file,) = run_prompt(prompt, server).files
    with av.open(str(file)) as container:
        assert sum(1 for _ in container.decode(container.streams.video[0])) == FRAMES[name]


@pytest.mark.parametrize("name", FRAMES)
def test_blueprint_is_one_tidy_group_that_explains_itself(name):
    graph = content(name)
    (block,), (group,) = graph["nodes"], graph["definitions"]["subgraphs"]
    assert block["type"] == group["id"]
    assert block["title"] == group["name"] == name
    assert [(i["name"], i["type"]) for i in block["inputs"]] == [(i["name"], i["type"]) for i in group["inputs"]]
    assert graph["extra"]["BlueprintDescription"].endswith(".")
    nodes = {node["id"]: node for node in group["nodes"]}
    for link in group["links"]:
        source, target = nodes.get(link["origin_id"]), nodes.get(link["target_id"])
        if source and target:
            assert source["pos"][0] < target["pos"][0]
    boxes = [(*node["pos"], *node["size"]) for node in group["nodes"]]
    for i, (x, y, w, h) in enumerate(boxes):
        assert all(x >= a + c or a >= x + w or y >= b + d or b >= y + h for a, b, c, d in boxes[:i]), "nodes overlap"
    assert {node["properties"]["cnr_id"] for node in group["nodes"]} == {"sora-video"}


@pytest.mark.parametrize("name", FRAMES)
def test_widgets_shown_on_the_outside_are_linked_to_those_inside(name):
    graph = content(name)
    (block,), (group,) = graph["nodes"], graph["definitions"]["subgraphs"]
    # Links are what every page understands; newer ones ignore the list `proxyWidgets` in a blueprint.
    assert "proxyWidgets" not in block["properties"]
    nodes, links = {node["id"]: node for node in group["nodes"]}, {link["id"]: link for link in group["links"]}
    assert group["state"]["lastLinkId"] == max(links)
    shown = 0
    for slot, (outside, entry) in enumerate(zip(block["inputs"], group["inputs"], strict=True)):
        for number in entry["linkIds"]:
            link = links[number]
            inside = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            assert (link["origin_id"], link["origin_slot"], inside["link"]) == (-10, slot, number)
            assert link["type"] == entry["type"]
            assert entry["type"] in inside["type"].split(",")
            assert ("widget" in outside) == ("widget" in inside)
        shown += "widget" in outside
    assert shown >= 6
    assert not block["widgets_values"], "values are kept once, inside"
