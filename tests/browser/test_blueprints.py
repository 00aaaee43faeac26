"""Blueprints in the page: all are offered, one is added as people add blocks, and it runs."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "subgraphs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
INSIDE = "app.graph.nodes[0].subgraph.nodes"


def add(tab, name):
    """Open the search for blocks over the empty canvas, type a name, and take the first that is offered."""
    tab.run("() => { app.graph.clear(); app.canvas.ds.offset = [0, 0]; app.canvas.ds.scale = 1; }")
    tab.page.mouse.move(700, 400)
    tab.run("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    search = tab.page.locator("input:focus")
    search.wait_for()
    search.fill(name)
    # A click waits until the list stands still; a key could arrive while it is still being filled.
    tab.page.get_by_role("option").filter(has_text=name).first.click()
    tab.until("() => app.graph.nodes.length === 1 && !!app.graph.nodes[0].subgraph")
    # Newer pages let a new block follow the pointer until a click puts it down.
    if tab.run("() => !!app.graph.nodes[0].flags.ghost"):
        tab.page.mouse.click(500, 200)
        tab.until("() => !app.graph.nodes[0].flags.ghost")


def promoted(name):
    """Widgets that a blueprint shows outside: their name there, the place of their block inside, their name in it."""
    group = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["definitions"]["subgraphs"][0]
    places = {node["id"]: place for place, node in enumerate(group["nodes"])}
    rows = []
    for entry in group["inputs"]:
        link = next(link for link in group["links"] if link["id"] == entry["linkIds"][0])
        place = places[link["target_id"]]
        inside = group["nodes"][place]["inputs"][link["target_slot"]].get("widget")
        rows += [[entry["name"], place, inside["name"]]] if inside else []
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_blueprint_is_found_and_added(tab, name):
    add(tab, name)
    assert tab.run("() => app.graph.nodes[0].title") == name
    kinds = tab.run(f"() => {INSIDE}.map(n => n.type)")
    assert "SoraLoadModel" in kinds
    wanted = promoted(name)
    assert len(wanted) >= 6
    shown = tab.run("() => app.graph.nodes[0].widgets.map(w => [w.name, w.value])")
    inner = f"([, place, widget]) => {INSIDE}[place].widgets.find(w => w.name === widget).value"
    assert [name for name, _ in shown] == [name for name, *_ in wanted]
    assert [value for _, value in shown] == tab.run(f"rows => rows.map({inner})", wanted)
    assert not tab.run(f"() => {INSIDE}.filter(n => !LiteGraph.registered_node_types[n.type]).length")


def test_text_to_video_blueprint_runs(tab):
    add(tab, "Sora Text to Video")
    values = {"checkpoint": "nano.safetensors", "width": 48, "height": 48, "steps": 2}
    tab.run("values => { for (const w of app.graph.nodes[0].widgets) w.value = values[w.name] ?? w.value; }", values)
    tab.run(
        """() => {
            const save = LiteGraph.createNode('SaveVideo');
            save.pos = [1200, 100];
            app.graph.add(save);
            app.graph.nodes[0].connect(0, save, 0);
        }"""
    )
    sent = tab.run("async () => Object.values((await app.graphToPrompt()).output)")
    sampler = next(entry["inputs"] for entry in sent if entry["class_type"] == "SoraSampler")
    assert (sampler["steps"], sampler["guidance"]) == (2, 3)
    event, about = tab.queue()
    assert event == "execution_success", about
    tab.until("() => [...document.querySelectorAll('video')].some(v => v.readyState >= 2)")
