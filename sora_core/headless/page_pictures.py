"""Screenshots for the README: a finished run in the canvas, and a help page, in ComfyUI's own page."""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image

from .browser import ENDS, OPEN, QUEUE, SETTINGS, chromium, ready
from .comfyui import PACK_ROOT
from .server import ComfyServer

FOLDER = PACK_ROOT / ".github" / "pictures"
WINDOW = (1500, 760)
WIDTH = 1200
PLAIN = {**SETTINGS, "Comfy.Minimap.Visible": False}
NO_BANNER = "localStorage.setItem('vueNodesBannerDismissed', 'true')"
FRAME = """([left, top]) => {
    const nodes = app.graph.nodes, ds = app.canvas.ds, corner = axis => Math.min(...nodes.map(n => n.pos[axis]));
    ds.scale = 0.69;
    ds.offset = [left / ds.scale - corner(0), top / ds.scale - corner(1)];
    app.canvas.setDirty(true, true);
}"""
"""Puts the upper left corner of the graph somewhere in the window, in pixels."""
SELECT = "kind => app.canvas.selectNode(app.graph.nodes.find(n => n.type === kind))"


def save(picture: bytes, name: str) -> Path:
    """Writes a screenshot as a WebP that fits into a README."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS).save(path, quality=72)
    return path


def page_pictures(server: ComfyServer) -> list[Path]:
    """Runs text_to_video in the page, opens the help of a block, and returns both pictures.

    Raises:
        RuntimeError: there is no Chromium, or the run did not end well.
    """
    server.post("/settings", PLAIN)
    workflow = json.loads((PACK_ROOT / "workflows" / "text_to_video.json").read_text("utf-8"))
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        page.set_default_timeout(600_000)
        page.add_init_script(NO_BANNER)
        page.goto(server.url)
        ready(page)
        page.evaluate(OPEN, workflow)
        page.evaluate(FRAME, (80, 190))
        ending, about = page.evaluate(QUEUE, ENDS)
        if ending != ENDS[0]:
            raise RuntimeError(f"text_to_video ended with {ending} in the page: {about}")
        page.wait_for_function("() => [...document.querySelectorAll('video')].some(v => v.currentTime > 1)")
        pictures = [save(page.screenshot(), "canvas.webp")]
        page.evaluate(SELECT, "SoraNoiseGrid")
        page.get_by_test_id("info-button").click()
        page.locator(".node-help-content img").scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('.node-help-content img').naturalWidth > 0")
        pictures.append(save(page.screenshot(), "help.webp"))
    return pictures
