"""The panels below the widgets follow the values, in both kinds of nodes, and show text as text."""

import random

import pytest

from sora_core.shapes import Compression, VideoShape

GRID = 3
"""The noise grid of text_to_video."""
MODULE = "/extensions/sora-video/js/sizes.js"


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


def test_wheel_and_middle_button_move_the_canvas_over_a_panel(nodes, workflow):
    nodes.open(workflow("text_to_video"))
    view = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset].join()"
    panel, mouse = nodes.page.locator(".sora-panel:visible").first, nodes.page.mouse
    panel.hover()
    before = nodes.run(view)
    mouse.wheel(0, 120)
    nodes.until(f"before => ({view})() !== before", before)
    panel.hover()
    before = nodes.run(view)
    mouse.down(button="middle")
    box = panel.bounding_box()
    mouse.move(box["x"] + 90, box["y"] + 90, steps=4)
    mouse.up(button="middle")
    nodes.until(f"before => ({view})() !== before", before)


def test_a_line_that_a_narrow_block_cuts_off_is_its_title(tab, workflow):
    tab.open(workflow("text_to_video"))
    for name, value in (("width", 2048), ("seconds", 3600.0)):
        tab.set(GRID, name, value)
    line = tab.page.locator(".sora-panel:visible > :last-child").filter(has_text="above the limit of 4,000,000 tokens")
    assert line.get_attribute("title") == line.text_content()


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


def test_sizes_are_those_of_the_library(tab):
    cells, draw = Compression(time=4, space=8), random.Random(0)
    asked = [
        {"width": round(2000 ** draw.random()), "height": round(2000 ** draw.random()), "aspect": "width x height",
         "seconds": draw.randrange(400) / 16, "fps": draw.choice((8, 12.5, 24, 29.97))}
        for _ in range(200)
    ]  # fmt: skip
    code = f"async all => {{ const m = await import('{MODULE}'); return all.map(a => m.gridOf(a, m.BUNDLED_CELLS)); }}"
    for request, shown in zip(asked, tab.run(code, asked), strict=True):
        shape = VideoShape.from_seconds(**{k: v for k, v in request.items() if k != "aspect"}, resized=True)
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
