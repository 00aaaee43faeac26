"""What runs of the shipped workflows leave behind; a bad model file or a nonsense size breaks its job only."""

import av
import pytest
from PIL import Image

from sora_core.headless.runner import run_prompt
from sora_core.headless.workflow import WorkflowError, read_workflow

SMALL = {"SoraNoiseGrid": {"width": 48, "height": 48}, "SoraSampler": {"steps": 2}, "KSampler": {"steps": 2}}
NANO = "nano.safetensors"


@pytest.fixture(scope="module")
def folder(root):
    return root / "workflows"


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
    with pytest.raises(WorkflowError, match="above the limit of 4,000,000"):
        run_prompt(prompt, server)
