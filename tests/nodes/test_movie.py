"""Videos on file, of which a part may have been chosen."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from sora_core.sound import RATE, Soundtrack, read_sound
from sora_core.video import VideoWriter


@pytest.fixture
def trimmed(comfy, tmp_path, monkeypatch):
    """Two seconds from the middle of a file of four, each frame of another grey; it may not be loaded whole."""
    from comfy_api.latest import InputImpl

    kind = InputImpl.VideoFromFile
    if not hasattr(kind, "get_active_trim_window"):
        pytest.skip("this ComfyUI cannot trim videos")
    greys = torch.linspace(0, 1, 32)[:, None, None, None].expand(-1, 16, 16, 3)
    with VideoWriter(tmp_path / "greys.mp4", 16, 16, 8.0, crf=4) as writer:
        writer.write(greys)
    part = kind(str(tmp_path / "greys.mp4"), start_time=1.0, duration=2.0)
    expected = part.get_components().images
    monkeypatch.setattr(kind, "get_components", None)
    return part, expected


def test_a_trimmed_video_is_read_from_its_file_without_the_rest(pack, trimmed):
    part, expected = trimmed
    chunks, fps, total = pack.nodes.movie.frames_of(part, 4)
    frames = torch.cat(list(chunks)).float() / 255
    assert (fps, total) == (8.0, 16)
    torch.testing.assert_close(frames, expected, atol=0.02, rtol=0)


def test_the_sound_of_a_trimmed_video_begins_where_its_frames_do(pack, trimmed):
    part, _ = trimmed
    found = pack.nodes.movie.sound_in(part)
    assert found == {"sora_sound": Soundtrack(Path(part.get_stream_source()), 1.0)}


@pytest.mark.parametrize(
    "error",
    [UnicodeDecodeError("utf-8", b"\xb2", 0, 1, "invalid start byte"), ValueError("Could not determine duration")],
    ids=["its title", "its duration"],
)
def test_a_video_at_which_comfyui_stops_is_read_from_its_file(comfy, pack, tmp_path, monkeypatch, error):
    from comfy_api.latest import InputImpl

    def stop(video):
        raise error

    with VideoWriter(tmp_path / "titled.mp4", 16, 16, 8.0) as writer:
        writer.write(torch.zeros(5, 16, 16, 3))
    monkeypatch.setattr(InputImpl.VideoFromFile, "get_duration", stop)
    chunks, fps, total = pack.nodes.movie.frames_of(InputImpl.VideoFromFile(str(tmp_path / "titled.mp4")), 4)
    assert (fps, total, len(torch.cat(list(chunks)))) == (8.0, 5, 5)


@pytest.mark.parametrize(
    "told",
    [
        {"has_pending_frame_edits": lambda _: True},
        {"has_pending_frame_edits": None, "as_cropped": None, "get_dimensions": lambda _: (16, 8)},
    ],
    ids=["by itself", "by its size"],
)
def test_a_video_that_is_cropped_as_it_is_read_is_not_read_from_its_file(comfy, pack, tmp_path, told):
    from comfy_api.latest import InputImpl, Types

    with VideoWriter(tmp_path / "whole.mp4", 16, 16, 8.0) as writer:
        writer.write(torch.zeros(5, 16, 16, 3))
    shown = Types.VideoComponents(images=torch.ones(5, 8, 16, 3), audio=None, frame_rate=Fraction(8))
    cropped = type("Cropped", (InputImpl.VideoFromFile,), {"get_components": lambda _: shown, **told})
    video = cropped(str(tmp_path / "whole.mp4"))
    chunks, fps, total = pack.nodes.movie.frames_of(video, 2)
    assert (fps, total) == (8.0, 5)
    assert torch.equal(torch.cat(list(chunks)), shown.images)
    assert pack.nodes.movie.sound_in(video) == {"sora_sound": Soundtrack(tmp_path / "whole.mp4")}


def test_a_grey_video_in_memory_has_three_colours(pack, run):
    grey = torch.rand(5, 16, 16, 1, generator=torch.Generator().manual_seed(0))
    video = run("CreateVideo", images=grey, fps=8.0)[0]
    chunks, *_ = pack.nodes.movie.frames_of(video, 2)
    assert torch.equal(torch.cat(list(chunks)), grey.expand(-1, -1, -1, 3))


def test_a_request_to_stop_is_heard_while_a_video_is_read(pack, tmp_path, asked_to_stop):
    from comfy_api.latest import InputImpl

    with VideoWriter(tmp_path / "long.mp4", 16, 16, 8.0) as writer:
        writer.write(torch.zeros(5, 16, 16, 3))
    with pytest.raises(asked_to_stop):
        pack.nodes.movie.to_frames(InputImpl.VideoFromFile(str(tmp_path / "long.mp4")), 0.0)


def test_no_frames_are_refused(pack):
    with pytest.raises(ValueError, match="there are no frames; connect an image or a video of at least one"):
        pack.nodes.movie.to_frames(torch.zeros(0, 16, 16, 3), 0.0)


@pytest.mark.parametrize("kept", [None, 0, 500])
def test_a_damaged_video_is_refused_by_its_name_where_it_is_used(pack, comfy, tmp_path, kept):
    from comfy_api.latest import InputImpl

    path = tmp_path / "世界.mp4"
    with VideoWriter(path, 16, 16, 8.0) as writer:
        writer.write(torch.zeros(5, 16, 16, 3))
    content = path.read_bytes()
    path.unlink() if kept is None else path.write_bytes(content[:kept])
    kind, sentence = (
        (FileNotFoundError, r"^there is no video .*世界\.mp4")
        if kept is None
        else (ValueError, r"^世界\.mp4 is damaged or not a video: ")
    )
    with pytest.raises(kind, match=sentence):
        pack.nodes.movie.frames_of(InputImpl.VideoFromFile(str(path)), 4)


def test_save_video_copies_what_was_decoded_without_encoding_it_again(run, nano, sample, tmp_path):
    import av

    def packets(path: str) -> list[bytes]:
        with av.open(path) as file:
            return [bytes(packet) for packet in file.demux(video=0)]

    (latent, _) = run("SoraNoiseGrid", vae=nano[2], width=32, height=32, seconds=1.0)
    latent = {**latent, "samples": sample(latent)}
    video = run("SoraDecodeVideo", vae=nano[2], latent=latent, pixel_format="yuv420p10le")[0]
    video.save_to(str(tmp_path / "saved.mp4"))  # as Save Video does
    decoded = packets(video.get_stream_source())
    assert sum(map(len, decoded)) > 100
    assert packets(str(tmp_path / "saved.mp4")) == decoded


def test_the_sound_of_a_video_in_memory_goes_along_as_that_of_a_file(run, nano):
    audio = {"waveform": torch.sin(torch.arange(32000) / 20)[None, None], "sample_rate": 16000}
    images = torch.rand(16, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    video, silent = (run("CreateVideo", images=images, fps=8.0, **more)[0] for more in ({"audio": audio}, {}))
    latent = run("SoraEncodeVideo", vae=nano[2], video=video)[0]
    made = run("SoraDecodeVideo", vae=nano[2], latent=latent)[0]
    heard = read_sound(Path(made.get_stream_source()))
    assert heard.shape[1] == pytest.approx(2 * RATE, abs=2048)
    assert heard.abs().max() == pytest.approx(1, abs=0.1)
    assert "sora_sound" not in run("SoraEncodeVideo", vae=nano[2], video=silent)[0]
