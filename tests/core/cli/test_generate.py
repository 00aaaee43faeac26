"""`sora generate`: exactly the file that was asked for, or none."""

import av
import pytest
import torch

from sora_core.cli import DONE, WRONG_INPUT, main
from sora_core.video import VideoReader


def generate(nano_file, out, *options):
    arguments = ["a red ball", "--checkpoint", nano_file, "--steps", "2", "--out", out, *options]
    return main(["generate", *map(str, arguments)])


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.webm"])
def test_an_odd_size_comes_out_exactly_and_the_rounding_is_said(nano_file, tmp_path, capsys, name):
    out = tmp_path / name
    assert generate(nano_file, out, "--size", "65x47", "--seconds", "0.875") == DONE
    reader = VideoReader(out)
    assert (reader.width, reader.height, reader.num_frames, reader.fps) == (65, 47, 7, 8.0)
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    assert "7 frames of 65x47 are generated as 9 frames of 64x48 and resized" in said.err


def test_codec_and_pixel_format_are_those_asked_for(nano_file, tmp_path):
    out = tmp_path / "clip.mkv"
    options = ["--codec", "h264", "--crf", "40", "--pixel-format", "yuv420p10le"]
    assert generate(nano_file, out, "--size", "64x64", "--seconds", "0.5", *options) == DONE
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p10le")
    assert VideoReader(out).num_frames == 4


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.webp"])
def test_an_image_has_one_frame_of_exactly_the_size(nano_file, tmp_path, capsys, name):
    assert generate(nano_file, tmp_path / name, "--size", "33x50") == DONE
    frames = torch.cat(list(VideoReader(tmp_path / name)))
    assert frames.shape == (1, 50, 33, 3)
    assert "one frame instead" not in capsys.readouterr().err
    assert generate(nano_file, tmp_path / name, "--size", "33x50", "--seconds", "2") == DONE
    assert f"{name} is an image: one frame instead of 16" in capsys.readouterr().err


def test_the_seed_makes_the_video(nano_file, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert generate(nano_file, tmp_path / f"{name}.png", "--size", "32x32", "--seed", seed) == DONE
    a, b, c = (torch.cat(list(VideoReader(tmp_path / f"{name}.png"))) for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_file_of_before_stays_until_the_new_one_is_whole(nano_file, tmp_path, monkeypatch):
    out = tmp_path / "clip.mp4"
    assert generate(nano_file, out, "--size", "32x32") == DONE
    before = out.read_bytes()

    def fail(self, frames):
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr("sora_core.video.VideoWriter.write", fail)
        assert generate(nano_file, out, "--size", "32x32", "--seed", 5) == WRONG_INPUT
    assert out.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [out, tmp_path / "clip.mp4.latent.safetensors"]
    assert generate(nano_file, out, "--size", "32x32", "--seed", 5) == DONE
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() != before


def test_words_that_are_not_read_are_named(nano_file, tmp_path, capsys):
    prompt = " ".join(["very"] * 64 + ["red", "ball"])
    options = ["--checkpoint", str(nano_file), "--steps", "1", "--size", "16x16", "--out", str(tmp_path / "a.png")]
    assert main(["generate", prompt, *options]) == DONE
    assert "the prompt is longer than 64 words; not read: red ball" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", "900000x900000"], "above the limit of 4,000,000: one frame of"),
        (["--seconds", "1e7"], "above the limit of 4,000,000: "),
        (["--steps", "0"], "steps is 0; sampling needs at least 1"),
        (["--guidance", "nan"], "guidance is nan; it must be a finite number"),
        (
            ["--codec", "vp9", "--pixel-format", "yuv420p10le"],
            "vp9 is not written in yuv420p10le; use yuv420p or yuv444p",
        ),
        (["--crf", "99"], "crf is 99; h264 takes 0 (best) to 51"),
    ],
)
def test_what_the_model_cannot_do_is_refused_in_one_line(nano_file, tmp_path, capsys, options, sentence):
    assert generate(nano_file, tmp_path / "clip.mp4", *options) == WRONG_INPUT
    lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.startswith("sora ")]
    assert len(lines) == 1
    assert sentence in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [("--codec", "vp9"), ("--crf", "20"), ("--pixel-format", "yuv444p")])
def test_options_of_videos_are_refused_for_an_image(nano_file, tmp_path, capsys, option):
    assert generate(nano_file, tmp_path / "a.png", *option) == WRONG_INPUT
    assert f"{option[0]} does nothing for an image; leave it out" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_short_prompt_is_expanded_the_same_way_for_a_seed(nano_file, tmp_path, capsys):
    said = []
    for name in ("a.png", "b.png"):
        assert generate(nano_file, tmp_path / name, "--size", "32x32", "--expand", "--seed", "4") == DONE
        said.append(capsys.readouterr().err.splitlines()[0])
    assert said[0] == said[1]
    assert len(said[0]) > 60
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
