"""ComfyUI's page in a real Chromium, through Playwright (extra `dev`); only this machine can be reached from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
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
READY = "() => Boolean(window.app?.graph && app.extensionManager)"
OPEN = """async w => {
    await app.loadGraphData(w);
    app.canvas.ds.scale = 0.7;
    app.canvas.ds.offset = [150, 180];
    app.canvas.setDirty(true, true);
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
"""Loads a workflow as the page does, its left upper corner in view, and waits until it is drawn."""
QUEUE = """events => new Promise(done => {
    for (const name of events) app.api.addEventListener(name, e => done([name, e.detail]), { once: true });
    app.queuePrompt(0, 1);
})"""
"""Queues the graph and waits for how it ends: the first of some events, with its details."""
ENDS = ("execution_success", "execution_error", "execution_interrupted")
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Locale": "en"}
"""Settings of a page that is ready at once: no tour, and English."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or the one that `playwright install chromium` fetched.

    Raises:
        RuntimeError: there is none.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, NAMES)), playwright.chromium.executable_path)
        if not Path(program).is_file():
            raise RuntimeError("there is no Chromium: `make test` installs one, or run `playwright install chromium`")
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def ready(page: Page) -> None:
    """Waits until ComfyUI's page can be used."""
    page.wait_for_function(READY)
