"""The shipped workflows on a real server: both formats agree, every twin runs, a bad model file breaks only its job."""

import json
import shutil
from pathlib import Path

import av
import pytest
from PIL import Image

from sora_core.headless.comfy_program import to_api
from sora_core.headless.runner import run_prompt
from sora_core.headless.workflow import WorkflowError, read_workflow

SHIPPED = ("text_to_video", "text_to_image", "aspect_ratios")
SMALL = {"SoraNoiseGrid": {"width": 48, "height": 48}, "SoraSampler": {"steps": 2}, "KSampler": {"steps": 2}}
NANO = "nano.safetensors"


@pytest.fixture(scope="module")
def folder(root):
    return root / "workflows"


@pytest.fixture(scope="module")
def models(base, nano_file) -> Path:
    """models/sora of the server, with the nano model in it."""
    folder = base / "models" / "sora"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(nano_file, folder / NANO)
    return folder


@pytest.fixture
def small(models, folder):
    """A shipped API workflow on the nano model, with few steps and pixels."""

    def load(name):
        prompt = read_workflow(folder / "api" / f"{name}.json")[1]
        for node in prompt.values():
            node["inputs"].update(SMALL.get(node["class_type"], {}))
            if node["class_type"] == "SoraLoadModel":
                node["inputs"]["checkpoint"] = NANO
        return prompt

    return load


def video_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        return stream.width, stream.height, frames, float(stream.average_rate)


@pytest.mark.parametrize("name", SHIPPED)
def test_ui_workflow_converts_to_its_twin(server, folder, name):
    converted = to_api(folder / f"{name}.json", server)
    for node in converted.values():
        node.pop("_meta", None)
    assert converted == json.loads((folder / "api" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", SHIPPED)
def test_widgets_of_a_workflow_are_those_of_the_blocks(server, folder, name):
    known = server.get("/object_info")
    for node in json.loads((folder / "api" / f"{name}.json").read_text()).values():
        inputs = known[node["class_type"]]["input"]
        assert set(inputs["required"]) <= set(node["inputs"])
        assert set(node["inputs"]) <= set(inputs["required"]) | set(inputs.get("optional", {}))


@pytest.mark.parametrize("name", SHIPPED)
def test_workflow_reads_from_left_to_right_and_explains_itself(folder, name):
    graph = json.loads((folder / f"{name}.json").read_text())
    places = {node["id"]: node["pos"][0] for node in graph["nodes"]}
    assert all(places[source] < places[target] for _, source, _, target, *_ in graph["links"])
    boxes = [(*node["pos"], *node["size"]) for node in graph["nodes"]]
    for i, (x, y, w, h) in enumerate(boxes):
        for a, b, c, d in boxes[:i]:
            assert x >= a + c or a >= x + w or y >= b + d or b >= y + h, "nodes overlap"
    (note,) = [node for node in graph["nodes"] if node["type"] == "Note"]
    assert len(note["widgets_values"][0].splitlines()) == 5
    packs = {node["properties"]["cnr_id"] for node in graph["nodes"] if node["type"] != "Note"}
    assert packs == {"sora-video", "comfy-core"}


def test_text_to_video_makes_the_video(server, small):
    (file,) = run_prompt(small("text_to_video"), server).files
    assert video_of(file) == (48, 48, 16, 8.0)


def test_text_to_image_makes_four_pictures(server, small):
    files = run_prompt(small("text_to_image"), server).files
    assert [Image.open(file).size for file in files] == [(48, 48)] * 4
    assert len({Image.open(file).tobytes() for file in files}) == 4


def test_one_prompt_makes_three_shapes(server, small):
    files = run_prompt(small("aspect_ratios"), server).files
    assert [video_of(file)[:2] for file in files] == [(32, 64), (48, 48), (64, 32)]


def test_workflow_is_kept_in_the_video(server, small):
    (file,) = run_prompt(small("text_to_video"), server).files
    with av.open(str(file)) as container:
        assert "SoraNoiseGrid" in container.metadata["prompt"]


def test_stock_blocks_alone_make_a_video(server, small):
    prompt = small("text_to_video")
    prompt["4"] = {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0], "seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "simple",
            "positive": ["2", 0], "negative": ["2", 1], "latent_image": ["3", 0], "denoise": 1.0,
        },
    }  # fmt: skip
    prompt["5"] = {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}}
    prompt["7"] = {"class_type": "CreateVideo", "inputs": {"images": ["5", 0], "fps": 8.0}}
    prompt["6"]["inputs"]["video"] = ["7", 0]
    (file,) = run_prompt(prompt, server).files
    assert video_of(file) == (48, 48, 17, 8.0)


def test_bad_model_file_breaks_its_job_only(server, small, models, nano_file):
    (models / "cut.safetensors").write_bytes(nano_file.read_bytes()[:50_000])
    broken = small("text_to_video")
    broken["1"]["inputs"]["checkpoint"] = "cut.safetensors"
    with pytest.raises(WorkflowError, match=r"SoraLoadModel.*cut\.safetensors is damaged") as caught:
        run_prompt(broken, server)
    assert caught.value.kind == "execution"
    prompt = small("text_to_video")
    prompt["4"]["inputs"]["seed"] = 77
    assert run_prompt(prompt, server).files


def test_nonsense_sizes_are_refused(server, small):
    prompt = small("text_to_video")
    prompt["3"]["inputs"]["width"] = 0
    with pytest.raises(WorkflowError, match="width") as caught:
        run_prompt(prompt, server)
    assert caught.value.kind == "rejected"
    prompt["3"]["inputs"] |= {"width": 16384, "height": 16384, "seconds": 3600.0}
    with pytest.raises(WorkflowError, match="above the limit of 1,000,000"):
        run_prompt(prompt, server)
