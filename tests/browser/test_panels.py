"""The panels below the widgets follow the values, in both kinds of nodes, and show text as text."""

import random
import shutil

import pytest

from sora_core.shapes import Compression, VideoShape

GRID = 3
"""The noise grid of text_to_video."""
WRITER = 8
"""The prompt expander of expand_prompt."""
FILMED, MEASURED = 2, 6
"""The clip and its metrics in measure_compression."""
EVIL = "<img src=x onerror='window.hacked=1'><b>bold</b>"
MODULE = "/extensions/sora-video/js/sizes.js"


@pytest.fixture(params=[False, True], ids=["canvas", "vue"])
def nodes(tab, request, screenshots):
    """The shared page with its nodes drawn on the canvas, and as Vue components."""
    tab.settings(Comfy_VueNodes_Enabled=request.param)
    yield tab
    tab.page.screenshot(path=screenshots / f"{request.node.name} as tested.png")
    tab.settings(Comfy_VueNodes_Enabled=False)


def test_line_and_shape_follow_the_values(nodes, workflow):
    nodes.open(workflow("text_to_video"))
    assert "16 frames of 128 × 128 → 5 × 16 × 16 latents, 320 tokens" in nodes.panel(GRID)
    nodes.set(GRID, "seconds", 0)
    assert "1 frame of 128 × 128 → 1 × 16 × 16 latents, 64 tokens" in nodes.panel(GRID)
    # A press of a button, at the place where a person sees it.
    nodes.page.locator(".sora-panel button[title='aspect 16:9']:visible").click()
    assert "1 frame of 176 × 96 → 1 × 12 × 22 latents, 66 tokens" in nodes.panel(GRID)
    prompt = nodes.run("async () => (await app.graphToPrompt()).output")
    assert prompt[str(GRID)]["inputs"]["aspect"] == "16:9"
    assert "sora_panel" not in prompt[str(GRID)]["inputs"]


def test_pressed_aspect_can_be_undone(nodes, workflow):
    nodes.open(workflow("text_to_video"))
    button = nodes.page.locator(".sora-panel button[title='aspect 16:9']:visible")
    button.click()
    assert "176 × 96" in nodes.panel(GRID)
    nodes.run("() => app.extensionManager.command.execute('Comfy.Undo')")
    assert "128 × 128" in nodes.panel(GRID)
    nodes.run("() => app.extensionManager.command.execute('Comfy.Redo')")
    assert "176 × 96" in nodes.panel(GRID)


def test_keyboard_keeps_its_place_in_the_aspects(nodes, workflow):
    nodes.open(workflow("text_to_video"))
    button = nodes.page.locator(".sora-panel button[title='aspect 16:9']:visible")
    focused = "() => ['title', 'aria-pressed'].map(name => document.activeElement.getAttribute(name))"
    button.focus()
    nodes.set(GRID, "seconds", 1.0)
    assert nodes.run(focused) == ["aspect 16:9", "false"]
    button.press("Enter")
    assert "8 frames of 176 × 96" in nodes.panel(GRID)
    assert nodes.run(focused) == ["aspect 16:9", "true"]
    button.press("Tab")
    nodes.page.keyboard.press("Space")
    assert nodes.run(focused) == ["aspect 9:16", "true"]
    assert "8 frames of 96 × 176" in nodes.panel(GRID)
    pressed = nodes.page.locator(".sora-panel button[aria-pressed=true]:visible")
    assert pressed.evaluate_all("all => all.map(b => b.title)") == ["aspect 9:16"]


def test_aspect_that_is_connected_cannot_be_pressed(nodes, workflow):
    nodes.open(workflow("text_to_video"))
    nodes.run(
        """id => {
            const [grid, source] = [app.graph.getNodeById(id), LiteGraph.createNode('PrimitiveNode')];
            app.graph.add(source);
            source.connect(0, grid, grid.findInputSlot('aspect'));
        }""",
        GRID,
    )
    button = nodes.page.locator(".sora-panel button[title='aspect 16:9']:visible")
    nodes.until("() => document.querySelector('.sora-panel button').disabled")
    assert button.is_disabled()
    nodes.run("id => { app.graph.getNodeById(id).disconnectInput('aspect'); }", GRID)
    button.click()
    assert "176 × 96" in nodes.panel(GRID)


CONTRAST = """() => {
    const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = css => {
        paint.clearRect(0, 0, 1, 1);
        paint.fillStyle = css;
        paint.fillRect(0, 0, 1, 1);
        return [...paint.getImageData(0, 0, 1, 1).data];
    };
    const light = rgb => {
        const [r, g, b] = rgb.map(c => c / 255).map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.05 + 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => Math.max(light(a) / light(b), light(b) / light(a));
    const behind = e => {
        const { backgroundColor, backgroundImage } = getComputedStyle(e);
        const colours = backgroundImage.match(/rgba?\\([^)]*\\)/g) ?? [backgroundColor];
        if (rgba(colours[0])[3]) return colours.map(rgba);
        // On the canvas the node itself is painted, not styled.
        return e.matches('.dom-widget') ? [rgba(LiteGraph.NODE_DEFAULT_BGCOLOR)] : behind(e.parentElement);
    };
    const seen = e => Number(getComputedStyle(e).opacity) * (e.matches('.sora-panel') ? 1 : seen(e.parentElement));
    const contrast = e => {
        const share = seen(e);
        const [front, backs] = [rgba(getComputedStyle(e).color), behind(e)];
        return Math.min(...backs.map(back => ratio(front.map((c, i) => share * c + (1 - share) * back[i]), back)));
    };
    const visible = all => [...document.querySelectorAll(all)].filter(e => e.offsetParent);
    const texts = visible('.sora-panel *').filter(e => !e.children.length && e.textContent);
    const [on, off] = ['true', 'false'].map(is => visible(`.sora-panel [aria-pressed=${is}]`)[0]);
    return [texts.map(e => [e.textContent, contrast(e)]), on ? ratio(behind(on)[0], behind(off)[0]) : null];
}"""
"""The contrast of each text in the panels with what is behind it, and that of the chosen aspect with the others."""


@pytest.fixture(params=["dark", "light"])
def palette(nodes, request):
    """The shared page in dark and in light colours."""
    nodes.settings(Comfy_ColorPalette=request.param)
    page = "getComputedStyle(document.body).getPropertyValue('--bg-color').trim()"
    nodes.until(f"dark => /^#[0-7]/.test({page}) === dark", request.param == "dark")
    yield request.param
    nodes.settings(Comfy_ColorPalette="dark")


@pytest.mark.usefixtures("palette")
def test_everything_can_be_read(nodes, workflow, alone):
    for graph in (workflow("prompt_timeline"), alone("SoraConnectVideos", ["blend", 1.0, 2.0, "smooth", 1.0, 0.0])):
        nodes.open(graph)
        nodes.page.locator(".sora-panel:visible [data-kind]").first.wait_for()
        texts, chosen = nodes.run(CONTRAST)
        assert len(texts) >= 3
        assert min(texts, key=lambda text: text[1])[1] >= 4.5, texts
        assert chosen is None or chosen >= 3


def test_panel_is_whole_inside_its_node(nodes, workflow):
    nodes.open(workflow("text_to_video"))
    panels = nodes.page.locator(".sora-panel:visible")
    panels.first.wait_for()
    beyond = "e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth]"
    hidden = panels.evaluate_all(f"all => all.flatMap({beyond})")
    assert len(hidden) == 4, "of the noise grid and of the decoder"
    assert max(hidden) <= 1


REFRESH = "app.graph.add(LiteGraph.createNode('SoraNoiseGrid'))"
"""Makes all panels be drawn again."""


def test_nodes_that_are_gone_are_let_go(tab, workflow):
    """Those in blueprints, of which the page says nothing when it clears a graph, and copies that were never added."""
    tab.open(workflow("text_to_video"))
    tab.run(
        """() => {
            const ours = app.graph.nodes.filter(node => node.type.startsWith('Sora'));
            window.group = app.graph.convertToSubgraph(new Set(ours)).subgraph;
            app.canvas.setGraph(group);
        }"""
    )
    tab.until("() => group.nodes.find(n => n.type === 'SoraNoiseGrid').widgets.at(-1).element.isConnected")
    tab.run(
        """async () => {
            const inside = group.nodes.find(node => node.type === 'SoraNoiseGrid');
            const copy = inside.clone();
            app.canvas.setGraph(app.graph);
            app.graph.clear();
            app.api.dispatchCustomEvent('graphCleared');
            await 0;
            window.read = [];
            for (const [name, node] of Object.entries({ inside, copy })) {
                const { inputs } = node;
                Object.defineProperty(node, 'inputs', { get: () => window.read.push(name) && inputs });
            }
        }"""
    )
    tab.until("() => !document.querySelector('.sora-panel')")
    tab.run(f"async () => {{ {REFRESH}; await 0; }}")
    assert tab.run("() => window.read") == []


def test_unchanged_panels_are_left_alone(tab, workflow):
    tab.open(workflow("text_to_video"))
    tab.run("() => localStorage.removeItem('Sora.SecondsPerWork')")
    tab.run(
        """([id, all]) => {
            const { element } = app.graph.getNodeById(id).widgets.at(-1);
            window.touched = 0;
            new MutationObserver(found => { window.touched += found.length; }).observe(element, all);
        }""",
        [GRID, {"subtree": True, "childList": True, "attributes": True, "characterData": True}],
    )
    tab.set(4, "steps", 7)
    tab.run(f"() => {{ {REFRESH}; }}")
    assert tab.run("() => window.touched") == 0
    tab.set(GRID, "seconds", 1.0)
    assert tab.run("() => window.touched") > 0


def test_other_models_show_no_cells(tab, workflow):
    tab.open(workflow("text_to_video"))
    tab.set(1, "checkpoint", "nano.safetensors")
    assert tab.panel(GRID).endswith("16 frames of 128 × 128")
    # What an aspect is rounded to depends on the cells.
    tab.set(GRID, "aspect", "16:9")
    assert tab.panel(GRID).endswith("16 frames")


def test_no_time_is_promised_where_a_grid_is_sampled_in_windows(tab, workflow):
    for name, told in (("text_to_video", True), ("long_video", False)):
        tab.open(workflow(name))
        tab.run("() => localStorage.setItem('Sora.SecondsPerWork', 1e-6)")
        tab.set(GRID, "seconds", 1.5)
        assert ("about" in tab.panel(GRID)) == told
        assert "tokens" in tab.panel(GRID)
    tab.run("() => localStorage.removeItem('Sora.SecondsPerWork')")


def measured(tab, sampler, between=""):
    """Let a sampler report three steps, the last two of half a second, and return how much work each was taken for."""
    return tab.run(
        """([node, between]) => {
            const about = { prompt_id: crypto.randomUUID(), node, max: 3 };
            const clock = performance.now;
            for (const value of [1, 2, 3]) {
                performance.now = () => 500 * value;
                app.api.dispatchCustomEvent('progress', { ...about, value });
                if (value === 1) new Function(between)();
            }
            performance.now = clock;
            const rate = localStorage.getItem('Sora.SecondsPerWork');
            localStorage.removeItem('Sora.SecondsPerWork');
            return rate && 0.5 / rate;
        }""",
        [sampler, between],
    )


def work(tokens):
    """What a guided step costs, as web/js/timing.js counts it."""
    return pytest.approx(tokens * (1 + tokens / 1536) * 2)


def test_speed_is_that_of_what_was_set_when_the_run_began(tab, workflow):
    tab.open(workflow("text_to_video"))
    assert measured(tab, "4") == work(320)
    larger = f"app.graph.getNodeById({GRID}).widgets.find(w => w.name === 'seconds').value = 4"
    assert measured(tab, "4", larger) == work(320)
    assert measured(tab, "4") == work(576)
    assert measured(tab, "4", "app.graph.clear()") == work(576)
    assert measured(tab, "4") is None


def test_speed_is_taken_from_samplers_in_blueprints(tab, workflow):
    tab.open(workflow("text_to_video"))
    sampler = tab.run(
        """() => {
            const ours = app.graph.nodes.filter(node => node.type.startsWith('Sora'));
            const { subgraph, node } = app.graph.convertToSubgraph(new Set(ours));
            return `${node.id}:${subgraph.nodes.find(inside => inside.type === 'SoraSampler').id}`;
        }"""
    )
    assert measured(tab, sampler) == work(320)


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


def test_panels_can_be_turned_off(tab, workflow):
    tab.open(workflow("text_to_video"))
    tab.settings(Sora_Panels=False)
    tab.until("id => !app.graph.getNodeById(id).widgets.at(-1).element.hasChildNodes()", GRID)
    tab.settings(Sora_Panels=True)
    tab.until("id => app.graph.getNodeById(id).widgets.at(-1).element.hasChildNodes()", GRID)


@pytest.mark.parametrize(
    ("kind", "values", "change", "before", "after"),
    [
        ("SoraExtendVideo", [1.0, "forward", 0.0, 0.0], ("direction", "both"), "given videonew 1 s",
         "new 1 sgiven videonew 1 s"),
        ("SoraConnectVideos", ["blend", 1.0, 2.0, "smooth", 1.0, 0.0], ("mode", "bridge"),
         "first 2 sblend 1 ssecond 2 s", "first 2 snew 1 ssecond 2 s"),
        ("SoraPlaceFrames", [0.0, 1.0, 0.0], ("at", -0.5), "0s", "-0.5s"),
        ("SoraPlaceFrames", [0.3, 1.0, 0.0], ("fps", 8), "0.3s", "0.25s"),
        ("SoraSeamlessLoop", [1], ("stride", 2), " ↻ from the start again", " ↻ from the start again"),
    ],
)  # fmt: skip
def test_strips_show_what_is_given_and_what_is_new(tab, alone, kind, values, change, before, after):
    tab.open(alone(kind, values))
    assert tab.panel(1) == before
    tab.set(1, *change)
    assert tab.panel(1) == after


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


def connect(tab, node, name):
    """Connect an input to a value that only a run will know."""
    tab.run(
        """([id, name]) => {
            const node = app.graph.getNodeById(id);
            const source = LiteGraph.createNode('SoraSampler');
            app.graph.add(source);
            source.addOutput('any', '*');
            source.connect(source.outputs.length - 1, node, node.findInputSlot(name));
        }""",
        [node, name],
    )


def test_ruler_of_frames_goes_by_the_rate_at_each_block(tab, workflow):
    tab.open(workflow("first_last_keyframes"))
    first, last, grid = 11, 12, 10
    assert tab.panel(last) == "0s1.88s0s0.5s1s1.5s2s"
    tab.set(last, "fps", 16)
    assert tab.panel(first) == "0s0s0.5s1s1.5s2s"
    assert tab.panel(last) == "0s0.94s0s0.25s0.5s0.75s1s"
    # A length that is not known has no scale.
    connect(tab, last, "fps")
    assert tab.panel(last) == "0s-0.01s"
    connect(tab, grid, "seconds")
    assert tab.panel(first) == "0s"


def press_bypass(tab, node):
    """Bypass a node, or no longer, as a person does: with Ctrl+B."""
    tab.run("id => { app.canvas.deselectAll(); app.canvas.select(app.graph.getNodeById(id)); }", node)
    tab.page.locator("#graph-canvas").focus()
    tab.page.keyboard.press("Control+b")
    tab.until("id => [0, 4].includes(app.graph.getNodeById(id).mode)", node)


def test_bypassed_blocks_count_for_nothing(tab, workflow):
    first, last = 11, 12
    given = f"() => app.graph.getNodeById({last}).widgets.at(-1).element.querySelectorAll('[data-kind]').length"
    tab.open(workflow("first_last_keyframes"))
    tab.until(f"() => ({given})() === 2")
    press_bypass(tab, first)
    tab.until(f"() => ({given})() === 1")
    press_bypass(tab, first)
    tab.until(f"() => ({given})() === 2")


def test_muted_blocks_hand_nothing_on(tab, workflow):
    tab.open(workflow("text_to_video"))
    tab.run("() => localStorage.setItem('Sora.SecondsPerWork', 1e-3)")
    tab.set(GRID, "seconds", 1.0)
    assert "about" in tab.panel(GRID)
    tab.run("() => { app.graph.getNodeById(4).mode = 2; }")
    tab.set(GRID, "seconds", 2.0)
    assert "about" not in tab.panel(GRID)
    tab.run("() => localStorage.removeItem('Sora.SecondsPerWork')")


def test_timeline_lasts_as_long_as_the_block_takes_it_for(tab, workflow):
    """The 16 frames of this grid are held by cells of 17, so its last prompt may begin at 2 seconds."""
    tab.open(workflow("prompt_timeline"))
    block = 4
    scale = "0s0.53s1.06s1.59s2.13s"
    write = "([id, text]) => { app.graph.getNodeById(id).widgets.find(w => w.name === 'timeline').value = text; }"
    tab.run(write, [block, "[0-2s] a ball\n[2-3s] a cube"])
    assert tab.panel(block) == f"a balla cube{scale}"
    tab.run(write, [block, "【０——２秒】a ball\n【２——３秒】a cube"])
    assert tab.panel(block) == f"a balla cube{scale}"
    tab.run(write, [block, "[0-2.2s] a ball\n[2.2-3s] a cube"])
    assert tab.panel(block) == f"a ball{scale}outside the video"
    tab.set(block, "fps", 4)
    assert tab.panel(block) == "a balla cube0s1.06s2.13s3.19s4.25s"
    tab.set(1, "checkpoint", "nano.safetensors")
    assert tab.panel(block) == "a balla cube0s0.75s1.5s2.25s3s"
    connect(tab, block, "fps")
    tab.set(1, "checkpoint", "sora-mini (bundled)")
    assert tab.panel(block) == "a balla cube0s0.75s1.5s2.25s3s"


@pytest.mark.parametrize(
    ("kind", "values", "names"),
    [
        ("SoraNoiseGrid", [64, 64, "width x height", 1.0, 8.0, 1], ("width", "seconds", "batch")),
        ("SoraPlaceFrames", [0.0, 1.0, 0.0], ("at",)),
        ("SoraPromptTimeline", ["[0-1s] a ball", 0.5, 0.0], ("timeline",)),
        ("SoraExtendVideo", [1.0, "forward", 0.0, 0.0], ("seconds", "direction", "context")),
        ("SoraConnectVideos", ["blend", 1.0, 2.0, "smooth", 1.0, 0.0], ("mode", "seconds", "context")),
    ],
)  # fmt: skip
def test_a_connected_value_is_called_that(tab, alone, kind, values, names):
    for name in names:
        tab.open(alone(kind, values))
        connect(tab, 1, name)
        assert tab.panel(1).removeprefix("↔") == "comes from a connected value", name


def test_sizes_are_those_of_the_library(tab):
    cells, draw = Compression(time=4, space=8), random.Random(0)
    asked = [
        {"width": draw.randint(1, 2000), "height": draw.randint(1, 2000), "aspect": "width x height",
         "seconds": draw.randrange(400) / 16, "fps": draw.choice((8, 12.5, 24, 29.97))}
        for _ in range(200)
    ]  # fmt: skip
    code = f"async all => {{ const m = await import('{MODULE}'); return all.map(a => m.gridOf(a, m.BUNDLED_CELLS)); }}"
    for request, shown in zip(asked, tab.run(code, asked), strict=True):
        shape = VideoShape.from_seconds(**{k: v for k, v in request.items() if k != "aspect"})
        latent = shape.latent(cells, 16, max_tokens=10**9)
        assert shown["frames"] == shape.num_frames
        assert shown["held"] == shape.padded(cells).num_frames
        assert shown["latent"] == [latent.frames, latent.height, latent.width]
        assert shown["tokens"] == latent.frames * latent.height * latent.width // 4


def test_scripts_build_no_markup_and_use_no_network(root):
    """Nothing in the scripts reaches for the network or builds markup from text."""
    for path in (root / "web" / "js").glob("*.js"):
        text = path.read_text("utf-8")
        for word in ("innerHTML", "insertAdjacentHTML", "outerHTML", "fetch", "XMLHttpRequest", "WebSocket", "://"):
            assert word not in text, f"{path.name}: {word}"
