"""What panels take from the blocks around: sizes, rates and values of connected, bypassed and muted ones, and time."""

import pytest

GRID = 3
"""The noise grid of text_to_video."""


def test_other_models_show_no_cells(tab, workflow):
    tab.open(workflow("text_to_video"))
    tab.set(1, "checkpoint", "nano.safetensors")
    assert tab.panel(GRID).endswith("16 frames of 128 × 128")
    # What an aspect is rounded to depends on the cells.
    tab.set(GRID, "aspect", "16:9")
    assert tab.panel(GRID).endswith("16 frames")


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


def test_loop_lasts_as_long_as_its_frames_at_the_rate_they_are_handed_on_with(tab, workflow):
    tab.open(workflow("seamless_loop"))
    loop = tab.run("() => app.graph.nodes.find(n => n.type === 'SoraSeamlessLoop').id")
    before = float(tab.panel(loop).split()[0])
    tab.run(
        """loop => {
            const find = kind => app.graph.nodes.find(node => node.type === kind);
            const [grid, place] = [find('SoraNoiseGrid'), LiteGraph.createNode('SoraPlaceFrames')];
            app.graph.add(place);
            place.widgets.find(w => w.name === 'fps').value = 2 * grid.widgets.find(w => w.name === 'fps').value;
            grid.connect(0, place, place.findInputSlot('latent'));
            place.connect(0, app.graph.getNodeById(loop), app.graph.getNodeById(loop).findInputSlot('latent'));
        }""",
        loop,
    )
    assert float(tab.panel(loop).split()[0]) == before / 2


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


def test_blocks_that_take_a_latent_twice_are_looked_at_once(tab, workflow):
    """There are more ways through forty of them than a page can go."""
    tab.open(workflow("text_to_video"))
    tab.run(
        """id => {
            app.graph.getNodeById(4).mode = 2;
            let last = app.graph.getNodeById(id);
            for (let i = 0; i < 40; i++) {
                const next = LiteGraph.createNode('LatentAdd');
                app.graph.add(next);
                last.connect(0, next, 0);
                last.connect(0, next, 1);
                last = next;
            }
        }""",
        GRID,
    )
    tab.set(GRID, "seconds", 1.0)
    assert "8 frames" in tab.panel(GRID)


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
    tab.run(write, [block, "[0-2s] a ball\u2028[2-3s] a cube"])
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


def test_a_primitive_that_is_given_its_value_does_not_know_it(tab, workflow):
    tab.open(workflow("text_to_video"))
    tab.run(
        """id => {
            window.primitives = [0, 1].map(() => LiteGraph.createNode('PrimitiveFloat'));
            const [, second] = primitives;
            for (const node of primitives) app.graph.add(node);
            second.widgets[0].value = 1;
            const grid = app.graph.getNodeById(id);
            second.connect(0, grid, grid.findInputSlot('seconds'));
        }""",
        GRID,
    )
    assert "8 frames" in tab.panel(GRID)
    tab.run("() => { primitives[0].connect(0, primitives[1], primitives[1].findInputSlot('value')); }")
    assert tab.panel(GRID).endswith("comes from a connected value")


def test_no_time_is_promised_where_a_grid_is_sampled_in_windows(tab, workflow):
    for name, grid, told in (("text_to_video", GRID, True), ("long_video", GRID, False), ("play_world", 2, False)):
        tab.open(workflow(name))
        tab.run("() => localStorage.setItem('Sora.SecondsPerWork', 1e-6)")
        tab.set(grid, "seconds", 1.5)
        assert ("about" in tab.panel(grid)) == told
        assert "tokens" in tab.panel(grid)
    tab.run("() => localStorage.removeItem('Sora.SecondsPerWork')")


def test_no_time_is_promised_where_noise_levels_are_connected(tab, workflow):
    """They take the place of the sampler's steps."""
    tab.open(workflow("text_to_video"))
    tab.run("() => localStorage.setItem('Sora.SecondsPerWork', 1e-6)")
    tab.set(GRID, "seconds", 1.5)
    assert "about" in tab.panel(GRID)
    connect(tab, 4, "sigmas")
    assert "about" not in tab.panel(GRID)
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
