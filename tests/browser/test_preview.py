"""The finished video plays inside its block for as long as its file is there, and stops when a person wishes."""

import pytest
import torch

from sora_core.video import VideoWriter

DECODER = 5
"""The decoder of text_to_video."""
VIDEO = "document.querySelector('.sora-panel video:not([data-seen])')"
"""The video of a panel, unless it was marked as seen before."""
PLAYS = f"() => {{ const v = {VIDEO}; return !!v && !v.paused && v.currentTime > 0; }}"
LOADED = f"() => {VIDEO}?.readyState >= 3"
HINT = "the video plays here after a run"


@pytest.fixture
def shown(tab, server, workflow):
    """Opens text_to_video in the shared page with a short video as if its decoder had made it."""
    with VideoWriter(server.base / "input" / "short.mp4", 32, 32, 8) as writer:
        writer.write(torch.rand(16, 32, 32, 3))

    def show(vue=False):
        tab.settings(Comfy_VueNodes_Enabled=vue)
        tab.open(workflow("text_to_video"))
        say(tab, DECODER, "short.mp4")
        tab.until(LOADED)
        return tab.page.locator(".sora-panel button:has(video):visible")

    yield show
    tab.page.emulate_media(reduced_motion="null")


def say(tab, node, name):
    """Let the page believe that the server told of a node's video."""
    tab.run(
        """([node, file]) => {
            const told = { [node]: { sora_video: [file] } };
            app.nodeOutputs = told;
            app.extensionManager.workflow.activeWorkflow.changeTracker.nodeOutputs = told;
        }""",
        [node, {"filename": name, "subfolder": "", "type": "input"}],
    )


def test_video_stays_through_undo_and_change_of_tab(tab, workflow):
    tab.open(workflow("text_to_video"))
    for node, name, value in (
        (1, "checkpoint", "nano.safetensors"), (3, "width", 48), (3, "height", 48), (4, "steps", 1), (4, "seed", 300)
    ):  # fmt: skip
        tab.set(node, name, value)
    assert tab.queue()[0] == "execution_success"
    tab.until(PLAYS)
    tab.page.locator(".sora-panel button[title='aspect 16:9']:visible").click()
    for command in ("Comfy.Undo", "Comfy.Redo"):
        tab.run(f"() => {{ {VIDEO}.dataset.seen = 'yes'; }}")
        tab.run("command => app.extensionManager.command.execute(command)", command)
        tab.until(PLAYS)
    tab.run("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    tab.until("() => !document.querySelector('.sora-panel')")
    tab.run("() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    tab.until(PLAYS)


def test_video_inside_a_blueprint_is_found_under_both_of_its_ids(tab, shown):
    shown()
    tab.run(
        """id => {
            const { subgraph, node } = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)]));
            app.canvas.setGraph(subgraph);
            window.places = [`${subgraph.id}:${subgraph.nodes[0].id}`, `${node.id}:${subgraph.nodes[0].id}`];
        }""",
        DECODER,
    )
    for place in tab.run("() => window.places"):
        say(tab, "nobody", "short.mp4")
        tab.until(f"() => !{VIDEO}")
        say(tab, place, "short.mp4")
        tab.until(PLAYS)
    tab.run("() => app.canvas.setGraph(app.graph)")


def test_words_are_shown_where_the_file_is_gone(tab, shown):
    shown()
    say(tab, DECODER, "gone.mp4")
    tab.until("words => [...document.querySelectorAll('.sora-panel')].some(p => p.textContent === words)", HINT)
    assert tab.run(f"() => {VIDEO}") is None
    say(tab, DECODER, "short.mp4")
    tab.until(PLAYS)


@pytest.mark.parametrize("vue", [False, True], ids=["canvas", "vue"])
def test_video_is_stopped_and_started_by_click_and_by_key(tab, shown, vue):
    button = shown(vue)
    tab.until(PLAYS)
    button.click()
    assert tab.run(f"() => {VIDEO}.paused")
    button.press("Enter")
    tab.until(PLAYS)
    button.press("Space")
    assert tab.run(f"() => {VIDEO}.paused")
    button.click()
    tab.until(PLAYS)


def test_only_moves_in_the_page_start_it_again(tab, shown):
    button = shown()
    tab.until(PLAYS)
    move = f"""async () => {{
        const video = {VIDEO};
        const panel = video.closest('.sora-panel');
        const place = panel.parentElement;
        const stopped = video.paused || new Promise(done => video.addEventListener('pause', done, {{ once: true }}));
        panel.remove();
        await stopped;
        place.append(panel);
    }}"""
    tab.run(move)
    tab.until(PLAYS)
    button.click()
    tab.run(move)
    assert tab.run(f"() => {VIDEO}.paused")
    button.click()
    # As the video's own menu does.
    tab.run(f"() => new Promise(done => {{ {VIDEO}.addEventListener('pause', done); {VIDEO}.pause(); }})")
    assert tab.run(f"() => {VIDEO}.paused")


def test_nothing_moves_by_itself_for_those_who_wish_so(tab, shown):
    tab.page.emulate_media(reduced_motion="reduce")
    button = shown()
    assert tab.run(f"() => {VIDEO}.paused")
    button.click()
    tab.until(PLAYS)


def test_player_is_named_in_the_language_of_the_page(tab, shown):
    button = shown()
    assert button.get_attribute("aria-label") == "the finished video: press to play or to stop"
    tab.settings(Comfy_Locale="zh")
    tab.until("() => document.querySelector(\"[aria-label='完成的视频：按下可播放或停止']\")")
    tab.settings(Comfy_Locale="en")
    tab.until("() => document.querySelector(\"[aria-label^='the finished video']\")")
