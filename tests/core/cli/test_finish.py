"""`sora finish`: a large video from a small one, and nothing of it lost when the run ends early."""

import av
import pytest
import torch

from sora_core.cli import DONE, WRONG_INPUT, main
from sora_core.video import VideoReader, VideoWriter


@pytest.fixture
def preview(tmp_path, draws):
    path = tmp_path / "preview.mp4"
    with VideoWriter(path, 48, 32, 8) as writer:
        writer.write(torch.rand(1, 1, 48, 3, generator=draws).expand(17, 32, 48, 3))
    return path


def finish(nano_file, preview, out, *options):
    arguments = [preview, "a red ball", "--checkpoint", nano_file, "--size", "96x64", "--steps", 1, "--window", 1]
    return main(["finish", *map(str, [*arguments, "--out", out, *options])])


def test_a_run_that_failed_goes_on_from_its_windows(nano_file, preview, tmp_path, capsys, monkeypatch):
    out, kept = tmp_path / "final.mp4", tmp_path / "final.mp4.windows"
    write, calls = VideoWriter.write, []

    def full(writer, frames):
        calls.append(1)
        if len(calls) > 3:
            raise ValueError("No space left on device")
        write(writer, frames)

    with monkeypatch.context() as patch:
        patch.setattr("sora_core.video.VideoWriter.write", full)
        assert finish(nano_file, preview, out) != DONE
    assert not out.exists()
    assert len(list(kept.iterdir())) >= 1
    assert f"the finished windows are kept in {kept}" in capsys.readouterr().err
    assert finish(nano_file, preview, out) == DONE
    assert not kept.exists()
    other = tmp_path / "other.mp4"
    assert finish(nano_file, preview, other) == DONE
    resumed, whole = (torch.cat(list(VideoReader(path))) for path in (out, other))
    assert resumed.shape == (17, 64, 96, 3)
    assert torch.equal(resumed, whole)


def test_a_run_without_a_finished_window_leaves_nothing_and_promises_nothing(nano_file, preview, tmp_path, capsys):
    assert finish(nano_file, preview, tmp_path / "final.mp4", "--steps", 0) != DONE
    assert "finished windows are kept" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("final")] == []


def test_the_preview_is_not_written_over(nano_file, preview, tmp_path, capsys, monkeypatch):
    before = preview.read_bytes()
    monkeypatch.chdir(tmp_path)
    assert finish(nano_file, preview, preview.name) == WRONG_INPUT
    assert "--out is preview.mp4, the preview itself" in capsys.readouterr().err
    assert preview.read_bytes() == before


def test_the_file_is_written_as_asked_for(nano_file, preview, tmp_path):
    sizes = []
    for crf in (10, 60):
        path = tmp_path / f"{crf}.mkv"
        assert finish(nano_file, preview, path, "--codec", "vp9", "--crf", crf) == DONE
        assert VideoReader(path).num_frames == 17
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name.removeprefix("lib") == "vp9"
        sizes.append(path.stat().st_size)
    assert sizes[1] < sizes[0]


def test_a_short_window_hands_over_less(nano_file, tmp_path):
    with VideoWriter(tmp_path / "fast.mp4", 48, 32, 24) as writer:
        writer.write(torch.zeros(17, 32, 48, 3))
    assert finish(nano_file, tmp_path / "fast.mp4", tmp_path / "out.mp4", "--window", 0.3) == DONE
    assert VideoReader(tmp_path / "out.mp4").num_frames == 17
