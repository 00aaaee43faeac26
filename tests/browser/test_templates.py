"""Every template opens whole and tidy in the page, runs from there, and errors land on the node that caused them."""

import json
import re
from pathlib import Path

import pytest

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
TEMPLATES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
SMALL = (
    ("SoraLoadModel", "checkpoint", "nano.safetensors"),
    ("SoraNoiseGrid", "width", 48),
    ("SoraNoiseGrid", "height", 48),
    ("SoraSampler", "steps", 2),
)


def boxes(tab):
    """Title and outer box of every node as the page has laid it out."""
    return tab.run("() => app.graph.nodes.map(n => [n.title, ...n.boundingRect])")


def overlapping(boxes):
    for i, (one, x, y, w, h) in enumerate(boxes):
        for other, a, b, c, d in boxes[:i]:
            if x < a + c and a < x + w and y < b + d and b < y + h:
                yield one, other


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_opens_whole_and_tidy(tab, server, name):
    assert name in server.get("/workflow_templates")["sora-video"]
    tab.open(server.get(f"/api/workflow_templates/sora-video/{name}.json"))
    prompt = tab.run("async () => (await app.graphToPrompt()).output")
    for node in prompt.values():
        node.pop("_meta", None)
    assert prompt == json.loads((WORKFLOWS / "api" / f"{name}.json").read_text("utf-8"))
    assert not list(overlapping(boxes(tab)))
    # Vue nodes are taller, and take their heights once they are drawn.
    tab.settings(Comfy_VueNodes_Enabled=True)
    tab.open(server.get(f"/api/workflow_templates/sora-video/{name}.json"))
    tab.page.locator("[data-node-id]").first.wait_for()
    tab.page.wait_for_timeout(300)
    assert not list(overlapping(boxes(tab)))
    tab.settings(Comfy_VueNodes_Enabled=False)
    picture = tab.run(
        """async url => {
            const image = new Image();
            image.src = url;
            await image.decode();
            return [image.naturalWidth, image.naturalHeight];
        }""",
        f"/api/workflow_templates/sora-video/{name}.jpg",
    )
    assert picture == [384, 256]


GRID = 3
"""The noise grid of text_to_video."""


@pytest.fixture
def small(tab, workflow):
    """Opens text_to_video on the tiny model."""
    return prepare(tab, workflow)


def prepare(tab, workflow):
    """Opens text_to_video on the tiny model, and returns the ids of its nodes by kind."""
    tab.open(workflow("text_to_video"))
    nodes = tab.run("() => Object.fromEntries(app.graph.nodes.map(n => [n.type, n.id]))")
    for kind, widget, value in SMALL:
        tab.set(nodes[kind], widget, value)
    return nodes


def test_text_to_video_runs_and_plays(tab, small):
    event, about = tab.queue()
    assert event == "execution_success", about
    tab.until("() => document.querySelector('video')?.readyState >= 2")
    size = tab.run("() => { const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight]; }")
    assert size == [48, 48]
    tab.run("() => { const v = document.querySelector('video'); v.muted = true; return v.play(); }")
    tab.until("() => document.querySelector('video').currentTime > 0.2")


@pytest.mark.parametrize("vue", [False, True], ids=["canvas", "vue"])
def test_result_plays_inside_the_block_that_made_it(tab, workflow, vue):
    tab.settings(Comfy_VueNodes_Enabled=vue)
    nodes = prepare(tab, workflow)
    # Of a run that is cached whole the server says nothing about blocks in the middle.
    tab.set(nodes["SoraSampler"], "seed", 100 + vue)
    video = tab.page.locator(".sora-panel video:visible")
    assert video.count() == 0
    assert tab.queue()[0] == "execution_success"
    tab.until("() => document.querySelector('.sora-panel video')?.currentTime > 0.2")
    assert video.evaluate("v => [v.muted, v.loop, v.videoWidth]") == [True, True, 48]
    box = video.bounding_box()
    assert 0 < box["height"] <= 130, "the panel keeps its size"
    tab.set(GRID, "seconds", 1.0)
    assert video.evaluate("v => v.paused") is False, "a change elsewhere does not stop it"
    tab.settings(Comfy_VueNodes_Enabled=False)


def test_line_says_how_long_sampling_takes_once_it_is_known(tab, small):
    """Cells are known of the bundled model, so that one is named while the tiny one runs."""
    tab.run("() => localStorage.removeItem('Sora.SecondsPerWork')")
    tab.run("id => app.graph.getNodeById(id).setDirtyCanvas(true)", GRID)
    tab.set(small["SoraLoadModel"], "checkpoint", "sora-mini (bundled)")
    assert "about" not in tab.panel(GRID)
    tab.set(small["SoraSampler"], "steps", 4)
    assert tab.queue()[0] == "execution_success"
    tab.until("() => localStorage.getItem('Sora.SecondsPerWork')")
    tab.set(small["SoraSampler"], "steps", 40)
    seconds = about(tab)
    tab.set(small["SoraSampler"], "steps", 400)
    assert about(tab) == pytest.approx(10 * seconds, rel=0.6)
    tab.set(small["SoraSampler"], "guidance", 1.0)
    assert about(tab) == pytest.approx(5 * seconds, rel=0.6)


def about(tab):
    return float(re.search(r"tokens, about ([\d.]+) s$", tab.panel(GRID))[1])


def test_failure_is_shown_on_its_node(tab, small):
    tab.set(small["SoraDecodeVideo"], "batch_index", 5)
    event, about = tab.queue()
    assert event == "execution_error"
    assert about["exception_message"].strip().startswith("batch_index is 5 and the latent holds 1: use 0 to 0")
    assert tab.run("() => app.lastExecutionError.node_id") == str(small["SoraDecodeVideo"])
    # Versions of the page show the message itself, or the node's name first and the message on request.
    tab.page.get_by_text(re.compile("batch_index is 5|Sora Decode Video failed")).first.wait_for()


def test_refused_value_is_shown_on_its_node(tab, small):
    tab.run("id => { app.graph.getNodeById(id).disconnectInput(0); }", small["SoraNoiseGrid"])
    tab.run("() => { app.queuePrompt(0, 1); }")
    errors = tab.until("() => app.lastNodeErrors && Object.keys(app.lastNodeErrors).length && app.lastNodeErrors")
    assert list(errors) == [str(small["SoraNoiseGrid"])]
    # What the canvas draws around a node: red around this one, nothing around the others.
    framed = "n => n.has_errors || n.strokeStyles.nodeError?.call(n)?.color === 'red'"
    assert tab.run(f"() => app.graph.nodes.filter({framed}).map(n => n.type)") == ["SoraNoiseGrid"]


def test_run_can_be_interrupted(tab, small):
    tab.set(small["SoraSampler"], "steps", 1000)
    tab.run("() => { app.api.addEventListener('progress', () => app.api.interrupt(), { once: true }); }")
    event, about = tab.queue()
    assert event == "execution_interrupted"
    assert about["node_type"] == "SoraSampler"
