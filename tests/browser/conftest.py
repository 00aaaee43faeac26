"""ComfyUI's own page in a real Chromium, on a server with the pack and a model small enough for any machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sora_core.headless.browser import ENDS, OPEN, QUEUE, SETTINGS, chromium, ready
from sora_core.headless.comfyui import make_base_directory
from sora_core.headless.server import comfy_server

NANO = "nano.safetensors"
OURS = "/extensions/sora-video/"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


def page_of(version, cache):
    """Files of another version of ComfyUI's page, such as "1.58.1" or "newest", from the Python registry."""
    wanted = "comfyui-frontend-package" + ("" if version == "newest" else f"=={version}")
    target = cache / version
    if not target.is_dir() or version == "newest":
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", target, wanted]
        subprocess.run(pip, check=True)
    return target / "comfyui_frontend_package" / "static"


@pytest.fixture(scope="session")
def server(comfyui, nano_file, root, tmp_path_factory):
    """A server of its own, because language and display settings are kept on the server."""
    base = make_base_directory(tmp_path_factory.mktemp("browser"))
    (base / "models" / "sora").mkdir()
    shutil.copy(nano_file, base / "models" / "sora" / NANO)
    (base / "user" / "default").mkdir(parents=True)
    (base / "user" / "default" / "comfy.settings.json").write_text(json.dumps(SETTINGS))
    version = os.environ.get("SORA_PAGE")
    page = ["--front-end-root", str(page_of(version, root / ".cache" / "pages"))] if version else []
    with comfy_server(comfyui, base, extra_args=page) as running:
        yield running


@pytest.fixture(scope="module", name="chromium")
def running_chromium():
    """Closed after each file: while Playwright runs, other tests cannot start an event loop of their own."""
    with chromium() as browser:
        yield browser


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
        ready(self.page)

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
        self.run(OPEN, workflow)

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

    def queue(self):
        """Queue the graph, and return how it ended with the details of that."""
        return self.run(QUEUE, ENDS)

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


@pytest.fixture(scope="session")
def screenshots(root):
    """Where every test leaves a picture of the page, for people to look at: build/screenshots."""
    folder = root / "build" / "screenshots" / os.environ.get("SORA_PAGE", "own")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def tab(english, request, screenshots):
    """The shared page; whatever a test did with it, it may have caused no error of ours."""
    del english.errors[:]
    yield english
    english.page.screenshot(path=screenshots / f"{request.node.name}.png")
    english.settings(Comfy_VueNodes_Enabled=False)
    assert not english.complaints


@pytest.fixture(params=[False, True], ids=["canvas", "vue"])
def nodes(tab, request, screenshots):
    """The shared page with its nodes drawn on the canvas, and as Vue components."""
    tab.settings(Comfy_VueNodes_Enabled=request.param)
    yield tab
    tab.page.screenshot(path=screenshots / f"{request.node.name} as tested.png")
    tab.settings(Comfy_VueNodes_Enabled=False)


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
