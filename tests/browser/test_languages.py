"""Names, panels and help pages in English and Chinese, read where people read them; nothing leaves the machine."""

import json

import pytest

GRID = 3
"""The noise grid of text_to_video."""


@pytest.fixture(scope="module")
def chinese(server, open_tab):
    """A page that starts in Chinese."""
    server.post("/settings", {"Comfy.Locale": "zh"})
    tab = open_tab()
    yield tab
    server.post("/settings", {"Comfy.Locale": "en"})
    tab.page.close()


def read_help(tab, kind):
    """Select the node of a kind, press the info button, and return what the help shows, once its picture is there."""
    tab.run("kind => app.canvas.selectNode(app.graph.nodes.find(n => n.type === kind))", kind)
    tab.page.get_by_test_id("info-button").click()
    content = tab.page.locator(".node-help-content table")
    content.first.wait_for()
    tab.until("() => document.querySelector('.node-help-content img')?.naturalWidth > 100")
    return tab.page.locator(".node-help-content").inner_text()


def test_english_help_is_read(tab, workflow):
    tab.open(workflow("text_to_video"))
    text = read_help(tab, "SoraNoiseGrid")
    assert "Any size works" in text
    assert "In the report" in text


def test_chinese_help_and_panels(chinese, workflow):
    chinese.open(workflow("text_to_video"))
    assert "320 个 token" in chinese.panel(GRID)
    assert "对应的报告内容" in read_help(chinese, "SoraNoiseGrid")
    assert not chinese.complaints


def test_chinese_names(chinese, workflow, root):
    """The page is given all names; version 1.32 of it forgets those of packs when it starts in another language."""
    words = json.loads((root / "locales" / "zh" / "nodeDefs.json").read_text("utf-8"))
    assert chinese.run("async () => (await (await app.api.fetchApi('/i18n')).json()).zh.nodeDefs") == words
    if chinese.run("() => window.__COMFYUI_FRONTEND_VERSION__").startswith("1.32."):
        return
    chinese.open(workflow("text_to_video"))
    find = f"const n = app.graph.getNodeById({GRID})"
    title, labels = chinese.run(f"() => {{ {find}; return [n.title, n.widgets.map(w => w.label)]; }}")
    words = words["SoraNoiseGrid"]
    assert title == words["display_name"]
    assert labels[:6] == [words["inputs"][name]["name"] for name in list(words["inputs"])[1:]]


def test_setting_is_named_in_chinese(chinese, root):
    words = json.loads((root / "locales" / "zh" / "settings.json").read_text("utf-8"))
    assert chinese.run("async () => (await (await app.api.fetchApi('/i18n')).json()).zh.settings") == words


def test_nothing_leaves_the_machine(english, chinese):
    """ComfyUI's page itself asks its registry for packs by their ids, which the server forbids; nothing else asks."""
    assert english.requests
    assert english.strangers | chinese.strangers <= {"api.comfy.org"}
