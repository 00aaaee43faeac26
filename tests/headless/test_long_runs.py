"""Long videos on a real server: a minute from prompt to file, and a killed server that loses only its last window."""

import threading
import time

import av
import pytest

from sora_core.headless.runner import run_prompt
from sora_core.headless.server import comfy_server
from sora_core.headless.workflow import WorkflowError, read_workflow

NANO = "nano.safetensors"


@pytest.fixture
def minute(models, root):
    """The long_video workflow on the nano model: 60 seconds of 32x32, one step for each window."""

    def build(**changes):
        prompt = read_workflow(root / "workflows" / "api" / "long_video.json")[1]
        for node in prompt.values():
            if node["class_type"] == "SoraLoadModel":
                node["inputs"]["checkpoint"] = NANO
            if node["class_type"] == "SoraNoiseGrid":
                node["inputs"] |= {"width": 32, "height": 32, "fps": 24.0}
            if node["class_type"] == "SoraLongVideoSampler":
                node["inputs"] |= {"steps": 1} | changes
        return prompt

    return build


def length(path) -> tuple[int, float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(stream)), float(stream.average_rate)


def test_a_minute_of_1440_frames_goes_from_prompt_to_mp4_headless(server, minute):
    (file,) = run_prompt(minute(), server).files
    assert file.suffix == ".mp4"
    assert length(file) == (1440, 24.0)


def test_a_server_killed_with_9_in_a_long_video_keeps_its_windows_and_the_next_one_goes_on(comfyui, base, minute):
    prompt, output = minute(seed=77), base / "output"

    def kept():
        return list((output / "sora_unfinished").glob("*.windows/0*"))

    with comfy_server(comfyui, base) as first:

        def kill():
            end = time.monotonic() + 120
            while not kept() and time.monotonic() < end:
                time.sleep(0.01)
            first.process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(WorkflowError, match="server went away"):
            run_prompt(prompt, first)
        killer.join()
    before = len(kept())
    assert not list(output.glob("sora/*.part"))
    with comfy_server(comfyui, base) as second:
        (file,) = run_prompt(prompt, second).files
    assert before > 0
    assert length(file) == (1440, 24.0)
    assert not kept()
