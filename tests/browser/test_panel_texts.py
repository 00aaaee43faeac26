"""What blocks wrote, prompts and names of files stand in the panels as text, and the clip plays beside them."""

import shutil

GRID = 3
"""The noise grid of text_to_video."""
WRITER = 8
"""The prompt expander of expand_prompt."""
FILMED, MEASURED = 2, 6
"""The clip and its metrics in measure_compression."""
EVIL = "<img src=x onerror='window.hacked=1'><b>bold</b>"


def test_timeline_is_drawn_as_text(tab, alone):
    tab.open(alone("SoraPromptTimeline", [f"[0-1s] {EVIL}\n[1-2s] a ball", 0.5, 0.0]))
    assert tab.panel(1).startswith(f"{EVIL}a ball")
    tab.page.locator("textarea:visible").first.fill("[0-1s] a ball\n[3-4s] too late")
    assert "line 2 is not read yet" in tab.panel(1)
    assert tab.run("() => window.hacked === undefined")


def test_hostile_prompt_and_titles_are_text(tab, workflow):
    graph = workflow("text_to_video")
    for node in graph["nodes"]:
        node["title"] = EVIL
    graph["nodes"][1]["widgets_values"][0] = EVIL
    for drawn in (False, True):
        tab.settings(Comfy_VueNodes_Enabled=drawn)
        tab.open(graph)
    tab.settings(Comfy_VueNodes_Enabled=False)
    assert tab.run("() => window.hacked === undefined")
    assert tab.run("async () => (await app.graphToPrompt()).output[2].inputs.prompt") == EVIL


def test_names_of_files_are_text(tab, server, nano_file, workflow):
    """A model file, and with it a choice in the block, whose name is markup."""
    evil = "<img src=x onerror='window.hacked=2'>.safetensors"
    shutil.copy(nano_file, server.base / "models" / "sora" / evil)
    tab.run("async () => { await app.refreshComboInNodes(); }")
    for drawn in (False, True):
        tab.settings(Comfy_VueNodes_Enabled=drawn)
        tab.open(workflow("text_to_video"))
        tab.set(1, "checkpoint", evil)
        tab.set(6, "filename_prefix", "<b onclick=alert(1)>x")
        tab.set(4, "steps", 1)
        tab.set(4, "seed", 200 + drawn)
        tab.set(GRID, "width", 32)
        tab.set(GRID, "height", 32)
        event, about = tab.queue()
        assert event == "execution_success", about
        tab.until("() => document.querySelector('.sora-panel video')?.readyState >= 2")
    tab.settings(Comfy_VueNodes_Enabled=False)
    assert tab.run("() => window.hacked === undefined")


def test_what_a_block_wrote_stands_below_it_as_text(nodes, workflow, request):
    nodes.open(workflow("expand_prompt"))
    assert nodes.panel(WRITER) == "the text stands here after a run"
    for node, name, value in (
        (1, "checkpoint", "nano.safetensors"), (3, "width", 48), (3, "height", 48), (4, "steps", 1),
        (WRITER, "prompt", f"an orange house {EVIL}"),
        (WRITER, "seed", int(request.node.callspec.params["nodes"])),  # what was run before is not told again
    ):  # fmt: skip
        nodes.set(node, name, value)
    assert nodes.queue()[0] == "execution_success"
    nodes.until("id => app.graph.getNodeById(id).widgets.at(-1).element.textContent.includes('orange house')", WRITER)
    assert EVIL in nodes.panel(WRITER)
    assert not nodes.run("() => window.hacked")


def test_what_a_block_wrote_can_be_marked_and_copied(nodes, workflow):
    nodes.open(workflow("expand_prompt"))
    nodes.run("id => { app.nodeOutputs = { [id]: { sora_text: ['a house\\n'.repeat(4)] } }; }", WRITER)
    text = nodes.page.locator(".sora-panel [tabindex]:visible")
    text.wait_for()
    place = "id => [...app.graph.getNodeById(id).pos]"
    before, box, mouse = nodes.run(place, WRITER), text.bounding_box(), nodes.page.mouse
    mouse.move(box["x"] + 4, box["y"] + 5)
    mouse.down()
    mouse.move(box["x"] + 30, box["y"] + 30, steps=8)
    mouse.up()
    assert "house\na" in nodes.run("() => getSelection().toString()")
    assert nodes.run(place, WRITER) == before
    nodes.run(
        """() => {
            window.taken = undefined;
            const told = event => setTimeout(() => { window.taken = [event.defaultPrevented]; });
            document.addEventListener('copy', told, { capture: true, once: true });
        }"""
    )
    nodes.page.keyboard.press("Control+c")
    assert nodes.until("() => window.taken") == [False]


def test_a_long_text_is_scrolled_inside_its_panel(nodes, workflow):
    nodes.open(workflow("expand_prompt"))
    nodes.run("id => { app.nodeOutputs = { [id]: { sora_text: ['a house\\n'.repeat(40)] } }; }", WRITER)
    text = nodes.page.locator(".sora-panel [tabindex]:visible")
    text.click()
    assert text.evaluate("e => e.closest('.sora-panel').offsetHeight") <= 84
    scale = nodes.run("() => app.canvas.ds.scale")
    nodes.page.mouse.wheel(0, 60)
    nodes.until("() => document.querySelector('.sora-panel [tabindex]').scrollTop > 0")
    assert nodes.run("() => app.canvas.ds.scale") == scale


def test_a_report_keeps_its_lines_and_the_clip_plays_beside_it(nodes, workflow, request):
    nodes.open(workflow("measure_compression"))
    for node, name, value in (
        (1, "checkpoint", "nano.safetensors"), (FILMED, "width", 32), (FILMED, "height", 32),
        (FILMED, "seed", int(request.node.callspec.params["nodes"])),  # what was run before is not told again
    ):  # fmt: skip
        nodes.set(node, name, value)
    assert nodes.queue()[0] == "execution_success"
    lines = "id => app.graph.getNodeById(id).widgets.at(-1).element.innerText.trim().split('\\n')"
    nodes.until(f"id => ({lines})(id).length === 5", MEASURED)
    assert nodes.run(lines, MEASURED)[0] == "16 frames of 32x32 at 8 fps, 2.00 s"
    nodes.until("id => app.graph.getNodeById(id).widgets.at(-1).element.querySelector('video')", FILMED)


def test_what_a_block_wrote_of_each_clip_of_a_list_stands_below_it(tab, alone):
    workflow = alone("SoraLoadClips", ["examples (bundled)", 0, 2])
    tab.open(workflow)
    tab.run(
        """() => {
            const metrics = LiteGraph.createNode('SoraVideoMetrics');
            app.graph.add(metrics);
            app.graph.getNodeById(1).connect(0, metrics, metrics.findInputSlot('video'));
        }"""
    )
    assert tab.queue()[0] == "execution_success"
    tab.until("() => app.graph.getNodeById(2).widgets.at(-1).element.textContent.split('96x64').length === 3")
