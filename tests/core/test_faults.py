"""What can go wrong while a video is made: no half file under the final name, latents kept, one clear sentence."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from sora_core.cli import INTERRUPTED, WRONG_INPUT
from sora_core.editing.long_state import LongState
from sora_core.stored_latent import NAME, StoredLatent
from sora_core.tensor_files import save_tensors
from sora_core.video import VideoReader, VideoWriter

LIMITED = """
import resource, signal, sys
limit = int(sys.argv.pop(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from sora_core.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The command line where files cannot grow beyond a limit, as on a full disk."""


@pytest.fixture
def command(nano_file, tmp_path):
    """Ten seconds of a small video, made window after window."""

    def build(out=tmp_path / "clip.mp4", *, limit=None, seconds=10, size="64x64"):
        start = ["-m", "sora_core"] if limit is None else ["-c", LIMITED, str(limit)]
        options = ["--checkpoint", nano_file, "--steps", "1", "--size", size, "--seconds", seconds, "--out", out]
        return [sys.executable, *start, "generate", "a red ball", *map(str, options)]

    return build


def finished(command) -> tuple[int, list[str]]:
    """Exit code, and the lines on standard error without progress bars."""
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stderr.replace("\r", "\n").splitlines()
    return done.returncode, [line for line in lines if line.strip() and "%|" not in line and "it [" not in line]


def stopped_at(command, ready, number) -> tuple[int, str]:
    """Start a command, send it a signal as soon as `ready` says so, and give its exit code and standard error."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Programs that a shell starts in the background ignore Ctrl-C, and so do their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        try:
            while not ready() and process.poll() is None:
                time.sleep(0.005)
            assert process.poll() is None, "it ended before it could be stopped"
            process.send_signal(number)
            _, errors = process.communicate()
        finally:
            process.kill()
    return process.returncode, errors


def sentences(lines) -> list[str]:
    return [line for line in lines if line.startswith("sora generate: ")]


def test_full_disk_while_the_video_is_written_keeps_the_latent_and_says_so(command, tmp_path):
    # The latent of 21 cells takes 90 kB, and noise from random weights a few hundred as a video.
    code, lines = finished(command(limit=120_000))
    assert code == WRONG_INPUT, lines
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".safetensors") == []
    (sentence,) = sentences(lines)
    assert "clip.mp4 cannot be written: " in sentence
    assert StoredLatent(tmp_path / "clip.mp4.latent.safetensors").shape[2] == 21
    assert any("what is done is kept in" in line for line in lines)


@pytest.mark.parametrize("limit", [10_000, 40_000])  # too little for a window, and for all of them in one file
def test_full_disk_while_sampling_leaves_no_half_latent(command, tmp_path, limit):
    code, lines = finished(command(limit=limit))
    assert code == WRONG_INPUT, lines
    (sentence,) = sentences(lines)
    assert "cannot be written" in sentence
    parts = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert bool(parts) == (limit == 40_000), "windows that were done before the disk was full stay"
    assert all(0 < StoredLatent(part).shape[2] < 21 for part in parts)


def test_read_only_output_is_refused_before_any_work(command):
    if not os.path.isdir("/sys/kernel"):
        pytest.skip("needs a folder that nobody may write to")
    done = subprocess.run(command("/sys/kernel/clip.mp4", seconds=3000), capture_output=True, text=True)
    assert done.returncode == WRONG_INPUT
    assert "sampling" not in done.stderr
    (sentence,) = sentences(done.stderr.splitlines())
    assert sentence.startswith("sora generate: /sys/kernel/clip.mp4 cannot be written: ")


def test_read_only_output_is_refused_by_the_writer_in_one_sentence():
    if not os.path.isdir("/sys/kernel"):
        pytest.skip("needs a folder that nobody may write to")
    with (
        pytest.raises(ValueError, match=r"clip.mp4 cannot be written: "),
        VideoWriter("/sys/kernel/clip.mp4", 16, 16, 8) as writer,
    ):
        writer.write(torch.zeros(60, 16, 16, 3))


def test_interrupt_in_the_middle_of_sampling_keeps_the_windows_that_are_done(command, tmp_path):
    kept = tmp_path / "clip.mp4.latent.windows"
    code, errors = stopped_at(command(seconds=60), lambda: any(kept.glob("0*")), signal.SIGINT)
    assert code == INTERRUPTED
    assert "sora generate: interrupted" in errors
    assert "Traceback" not in errors
    assert f"what is done is kept in {kept}" in errors
    assert list(tmp_path.iterdir()) == [kept]
    assert sum(StoredLatent(part).shape[2] for part in kept.iterdir()) < 121


def writing(folder):
    """Whether frames are being written: the latent is there and a part of the video."""
    latent = folder / "clip.mp4.latent.safetensors"

    def check() -> bool:
        parts = [p for p in folder.glob(".clip.mp4.*.part") if ".latent." not in p.name and ".try" not in p.name]
        return latent.exists() and bool(parts)

    return check


def test_interrupt_in_the_middle_of_writing_keeps_the_latent_and_no_part_of_the_video(command, tmp_path):
    code, errors = stopped_at(command(size="128x128"), writing(tmp_path), signal.SIGINT)
    assert code == INTERRUPTED
    assert "what is done is kept in" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4.latent.safetensors"]


def test_kill_9_in_the_middle_of_writing_leaves_no_file_under_the_final_name_and_the_run_goes_on(command, tmp_path):
    kept, out = tmp_path / "clip.mp4.latent.safetensors", tmp_path / "clip.mp4"
    code, _ = stopped_at(command(size="128x128"), writing(tmp_path), signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not out.exists()
    assert StoredLatent(kept).shape[2] == 21
    code, lines = finished(command(size="128x128"))
    assert code == 0, lines
    assert VideoReader(out).num_frames == 80
    assert not kept.exists()


def test_kill_9_in_the_middle_of_sampling_goes_on_with_the_same_result(command, tmp_path):
    kept = tmp_path / "clip.mp4.latent.windows"
    stopped_at(command(seconds=30), lambda: any(kept.glob("0*")), signal.SIGKILL)
    done = sum(StoredLatent(part).shape[2] for part in kept.glob("0*"))
    assert 0 < done < 61
    assert not (tmp_path / "clip.mp4").exists()
    assert finished(command(seconds=30))[0] == 0
    again = tmp_path / "again.mp4"
    assert finished(command(again, seconds=30))[0] == 0
    assert (tmp_path / "clip.mp4").read_bytes() == again.read_bytes()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_stored_latent_may_be_of_half_precision(tmp_path, kind):
    latent = torch.randn(1, 3, 4, 2, 2).to(kind)
    save_tensors({NAME: latent}, tmp_path / "a.safetensors", {})
    assert torch.equal(StoredLatent(tmp_path / "a.safetensors")[:, :, 1:3], latent[:, :, 1:3].float())


def test_a_stored_latent_reads_parts_along_time_and_refuses_what_is_damaged(tmp_path):
    latent, path = torch.randn(2, 3, 7, 4, 5), tmp_path / "a.safetensors"
    save_tensors({NAME: latent}, path, {})
    stored = StoredLatent(path)
    assert stored.shape == latent.shape
    assert torch.equal(stored[:, :, 2:5], latent[:, :, 2:5])
    assert torch.equal(stored[:, :, 5:50], latent[:, :, 5:50])
    with pytest.raises(IndexError, match="cut along time"):
        stored[:, :, ::2]
    path.unlink()
    LongState(path, "x").finish(latent, 1)
    assert torch.equal(StoredLatent(path)[:, :, 0:7], latent)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"a.safetensors is damaged"):
        StoredLatent(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a.safetensors is damaged"):
        StoredLatent(path)
