"""The child server: it starts with the pack in it, says why when it cannot, and is gone afterwards."""

import socket
import urllib.request
from functools import partial
from pathlib import Path

import pytest
import torch

from sora_core.headless import server as server_module
from sora_core.headless.comfy_program import to_api
from sora_core.headless.comfyui import ComfyUIMissingError, make_base_directory
from sora_core.headless.runner import run_prompt
from sora_core.headless.server import ServerError, _has_accelerator, comfy_server
from sora_core.headless.workflow import WorkflowError


def test_pack_is_loaded(server):
    assert "SoraLoadModel" in server.get("/object_info")
    assert "(IMPORT FAILED): " not in server.log_tail(1000)


def test_proxy_is_not_asked_for_the_server(server, workflows, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies that it saw first
    assert server.get("/system_stats")["system"]
    assert to_api(workflows / "image.json", server)


def test_start_failure_shows_the_log(comfyui, tmp_path):
    with (
        pytest.raises(ServerError, match=r"(?s)ended with code 2.*--no-such-flag"),
        comfy_server(comfyui, tmp_path, extra_args=["--no-such-flag"]),
    ):
        pass


def test_server_killed_in_mid_job_is_reported_and_cleaned_up(comfyui, base, chain):
    with comfy_server(comfyui, base) as server:
        slow = chain(("TestSlow", {"steps": 500, "seconds": 0.02}))
        with pytest.raises(WorkflowError, match="server went away") as caught:
            run_prompt(slow, server, on_progress=lambda *_: server.process.kill())
    assert caught.value.kind == "server"
    assert server.process.poll() is not None
    with pytest.raises(ConnectionRefusedError), socket.create_connection((server.host, server.port)):
        pass


def test_directory_without_comfyui_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("COMFYUI_DIR", str(tmp_path))
    with pytest.raises(ComfyUIMissingError, match=r"COMFYUI_DIR is .* but no main\.py"), comfy_server():
        pass


def test_base_directory_needs_a_pack(tmp_path):
    with pytest.raises(ComfyUIMissingError, match="holds no custom-node pack"):
        make_base_directory(tmp_path / "base", pack=tmp_path)


def test_without_a_pack_no_comfyui_is_fetched(monkeypatch, tmp_path):
    # As after `pip install`, where only the library is there.
    monkeypatch.setattr(server_module, "make_base_directory", partial(make_base_directory, pack=tmp_path))
    monkeypatch.setattr(server_module, "find_or_fetch", lambda: pytest.fail("a ComfyUI was fetched"))
    with pytest.raises(ComfyUIMissingError, match="holds no custom-node pack"), comfy_server(base=tmp_path / "base"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("junction", [False, True])
def test_base_directory_follows_a_moved_pack(monkeypatch, tmp_path, junction):
    if junction:  # what Windows links folders with, and Python knows as no symlink
        monkeypatch.setattr(Path, "is_symlink", lambda path: False)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    make_base_directory(tmp_path / "base", tmp_path / "old")
    make_base_directory(tmp_path / "base", tmp_path / "new")
    (link,) = (tmp_path / "base" / "custom_nodes").iterdir()
    assert link.resolve() == tmp_path / "new"


@pytest.mark.parametrize("card", [None, torch.cuda, torch.backends.mps, torch.xpu])
def test_a_card_of_any_maker_is_left_to_comfyui(monkeypatch, card):
    for kind in (torch.cuda, torch.backends.mps, torch.xpu):
        monkeypatch.setattr(kind, "is_available", lambda there=kind is card: there)
    assert _has_accelerator() == (card is not None)
