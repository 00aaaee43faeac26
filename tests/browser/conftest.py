"""ComfyUI's own page in a real Chromium, on a server with the pack and a model small enough for any machine."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sora_core.headless.comfyui import make_base_directory
from sora_core.headless.server import comfy_server

NANO = "nano.safetensors"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
"""No GPU, no update checks, and no name that could be resolved."""
OURS = "/extensions/sora-video/"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def server(comfyui, nano_file, tmp_path_factory):
    """A server of its own, because language and display settings are kept on the server."""
    base = make_base_directory(tmp_path_factory.mktemp("browser"))
    (base / "models" / "sora").mkdir()
    shutil.copy(nano_file, base / "models" / "sora" / NANO)
    (base / "user" / "default").mkdir(parents=True)
    settings = {"Comfy.TutorialCompleted": True, "Comfy.Locale": "en"}
    (base / "user" / "default" / "comfy.settings.json").write_text(json.dumps(settings))
    with comfy_server(comfyui, base) as running:
        yield running


@pytest.fixture(scope="module")
def chromium():
    """The system's Chromium, or the one that `playwright install chromium` fetched.

    It is closed after each file: while Playwright runs, other tests cannot start an event loop of their own.
    """
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, names)), playwright.chromium.executable_path)
        assert Path(program).is_file(), "no Chromium: `make test` installs one, or run `playwright install chromium`"
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """One page of ComfyUI, with all that it complained about and asked for."""

    def __init__(self, browser, url):
        self.errors, self.requests, self.home = [], [], urlsplit(url).netloc
        self.page = browser.new_page(viewport={"width": 1600, "height": 900})
        self.page.set_default_timeout(120_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(f"{error} {error.stack}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.until("() => Boolean(window.app?.graph && app.extensionManager)")

    def _heard(self, message):
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location['url']}")

    def run(self, code, argument=None):
        """Evaluate JavaScript in the page."""
        return self.page.evaluate(code, argument)

    def until(self, code, argument=None):
        """Wait until JavaScript gives something true, and return it."""
        return self.page.wait_for_function(code, arg=argument).json_value()

    def open(self, workflow):
        """Load a workflow as the page does, its left upper corner in view, and wait until it is drawn."""
        self.run(
            """async w => {
                await app.loadGraphData(w);
                app.canvas.ds.scale = 0.7;
                app.canvas.ds.offset = [150, 180];
                app.canvas.setDirty(true, true);
                await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
            }""",
            workflow,
        )

    def set(self, node, widget, value):
        """Set a widget of a node the way the canvas does when a person edits it."""
        self.run(
            """([id, name, value]) => {
                const node = app.graph.getNodeById(id);
                const widget = node.widgets.find(w => w.name === name);
                widget.setValue(value, { e: undefined, node, canvas: app.canvas });
            }""",
            [node, widget, value],
        )

    def panel(self, node):
        """The text that our panel of a node shows."""
        find = "id => app.graph.getNodeById(id).widgets.find(w => w.name === 'sora_panel').element"
        return self.run(f"id => ({find})(id).textContent", node)

    def settings(self, **values):
        """Change settings of the page."""
        for name, value in values.items():
            self.run(
                "([name, value]) => app.extensionManager.setting.set(name, value)", [name.replace("_", "."), value]
            )

    @property
    def complaints(self):
        """Errors that come from our files or are about them.

        For help the page first asks for en.md, which by ComfyUI's rule is the file without a language.
        """
        about_us = (error for error in self.errors if OURS in error or "workflow_templates/sora-video" in error)
        return [error for error in about_us if not error.endswith("/en.md")]

    @property
    def strangers(self):
        """Hosts other than the server that something was asked of."""
        hosts = {urlsplit(url).netloc for url in self.requests if urlsplit(url).scheme not in ("data", "blob")}
        return hosts - {self.home}


@pytest.fixture(scope="module")
def open_tab(chromium, server):
    """Opens a page; one costs several seconds."""
    return lambda: Tab(chromium, server.url)


@pytest.fixture(scope="module")
def english(open_tab):
    """The page that the tests of a file share."""
    return open_tab()


@pytest.fixture
def tab(english, tmp_path_factory, request):
    """The shared page; whatever a test did with it, it may have caused no error of ours."""
    del english.errors[:]
    yield english
    english.page.screenshot(path=tmp_path_factory.getbasetemp() / f"{request.node.name}.png")
    assert not english.complaints


@pytest.fixture
def workflow(root):
    """A shipped workflow by name."""
    return lambda name: json.loads((root / "workflows" / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def alone():
    """A workflow of one block, with its widgets' values."""

    def build(kind, values):
        node = {"id": 1, "type": kind, "pos": [100, 100], "size": [420, 320], "flags": {}, "order": 0, "mode": 0}
        node |= {"inputs": [], "outputs": [], "properties": {}, "widgets_values": values}
        return {"last_node_id": 1, "last_link_id": 0, "nodes": [node], "links": [], "groups": [], "version": 0.4}

    return build
