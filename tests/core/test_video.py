"""Videos on disk: exactly the frames, size, rate and colours that were written, in bounded memory, whole or absent."""

import os
import subprocess
import sys

import av
import pytest
import torch

from sora_core.video import VideoReader, VideoWriter, is_image, write_image

COLOURS = torch.tensor(
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (255, 255, 255), (0, 0, 0)],
    dtype=torch.uint8,
)


def colour_bars(frames: int, height: int, width: int) -> torch.Tensor:
    """Saturated vertical bars, `t h w 3`, that move one bar a frame."""
    bars = COLOURS.repeat_interleave(-(-width // 8), 0)[:width]
    return torch.stack([bars.roll(i * (width // 8), 0).expand(height, width, 3) for i in range(frames)])


def write(path, frames, fps=8.0, **options):
    with VideoWriter(path, frames.shape[2], frames.shape[1], fps, **options) as writer:
        writer.write(frames)
    return path


def read(path, **options) -> torch.Tensor:
    return torch.cat(list(VideoReader(path, **options)))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv", "clip.webm"])
@pytest.mark.parametrize(("width", "height"), [(128, 64), (65, 47), (1, 1), (33, 16)])
def test_saturated_colours_size_rate_and_length_round_trip(tmp_path, name, width, height):
    frames = colour_bars(9, height, width)
    path = write(tmp_path / name, frames, fps=12.5)
    reader = VideoReader(path)
    assert (reader.width, reader.height, reader.fps, reader.num_frames) == (width, height, 12.5, 9)
    back = read(path)
    assert back.shape == frames.shape
    # A wrong matrix or range costs 5 and more; halved colour costs a little at the edges of moving bars.
    assert (back.float() - frames.float()).abs().mean() < 2.5


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("clip.mp4", "h264", "yuv444p"), ("clip.mp4", "h264", "yuv420p10le"), ("clip.webm", "vp9", "yuv444p"),
        ("clip.mp4", "vp9", "yuv420p"),
    ],
)  # fmt: skip
def test_every_codec_writes_its_pixel_formats(tmp_path, name, codec, pixel_format):
    rows, columns, times = torch.meshgrid(*(torch.linspace(0, 1, n) for n in (64, 96, 5)), indexing="ij")
    frames = torch.stack([rows, columns, times], dim=-1).permute(2, 0, 1, 3)
    path = write(tmp_path / name, frames, codec=codec, pixel_format=pixel_format)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name.removeprefix("lib") == codec
        assert stream.pix_fmt == pixel_format
    back = read(path)
    assert back.shape == frames.shape
    assert (back / 255 - frames).abs().mean() < 0.01


def test_ten_bits_are_ten_bits(tmp_path):
    """A ramp of less than one step of 8 bits per pixel keeps more shades than 8 bits have."""
    ramp = torch.linspace(0.4, 0.5, 128).expand(16, 128)[None, :, :, None].expand(1, 16, 128, 3)
    shades = {}
    for pixel_format in ("yuv420p", "yuv420p10le"):
        path = write(tmp_path / f"{pixel_format}.mp4", ramp, pixel_format=pixel_format, crf=0)
        with av.open(str(path)) as container:
            luma = next(container.decode(video=0)).reformat(format="gray10le").to_ndarray()
        shades[pixel_format] = len(set(luma[0].tolist()))
    assert shades["yuv420p10le"] > 2 * shades["yuv420p"]


@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_a_worse_crf_makes_a_smaller_file(tmp_path, codec, draws):
    frames = torch.rand(4, 64, 64, 3, generator=draws)
    sizes = [write(tmp_path / f"{crf}.mkv", frames, codec=codec, crf=crf).stat().st_size for crf in (10, 45)]
    assert sizes[1] < 0.7 * sizes[0]


def test_files_are_tagged_as_bt709_in_limited_range(tmp_path):
    with av.open(str(write(tmp_path / "clip.mp4", colour_bars(2, 16, 16)))) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range, frame.format.name) == (1, 1, "yuv420p")


def test_a_file_in_full_range_bt601_is_read_in_its_own_colours(tmp_path):
    frames = colour_bars(1, 64, 64)
    with av.open(str(tmp_path / "old.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt, stream.codec_context.color_range, stream.codec_context.colorspace = "yuv444p", 2, 5
        picture = av.VideoFrame.from_ndarray(frames[0].contiguous().numpy(), format="rgb24").reformat(
            format="yuv444p", dst_colorspace="ITU601", dst_color_range="JPEG"
        )
        container.mux([*stream.encode(picture), *stream.encode(None)])
    assert (read(tmp_path / "old.mp4").float() - frames.float()).abs().mean() < 1


def test_odd_sizes_are_exact_and_the_writer_says_how(tmp_path):
    writer = VideoWriter(tmp_path / "odd.mp4", 65, 47, 8)
    assert writer.note == "65x47 is odd, so the colours are written in full resolution (yuv444p)"
    assert VideoWriter(tmp_path / "even.mp4", 64, 48, 8).note == ""


def test_bytes_and_floats_in_any_chunks_make_the_same_file(tmp_path, draws):
    frames = torch.randint(0, 256, (7, 16, 24, 3), generator=draws, dtype=torch.uint8)
    whole = write(tmp_path / "whole.mp4", frames)
    with VideoWriter(tmp_path / "parts.mp4", 24, 16, 8) as writer:
        writer.write(frames[:3].float() / 255)
        writer.write(frames[3:3])
        writer.write(frames[3:])
    assert whole.read_bytes() == (tmp_path / "parts.mp4").read_bytes()


@pytest.mark.parametrize("chunk", [1, 4, 7, 100])
def test_chunks_hold_all_frames_in_order(tmp_path, chunk):
    path = write(tmp_path / "clip.mp4", colour_bars(7, 16, 16))
    chunks = list(VideoReader(path, chunk=chunk))
    assert [len(part) for part in chunks] == [min(chunk, 7 - i) for i in range(0, 7, chunk)]
    assert torch.equal(torch.cat(chunks), read(path))


def test_a_rotated_phone_video_is_read_upright(tmp_path):
    path = write(tmp_path / "flat.mp4", colour_bars(2, 16, 32))
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    # The display matrix of a track that a player turns by 90 degrees clockwise.
    matrix = [0, 1, 0, -1, 0, 0, 0, 0, 0x4000]
    data[header + 40 : header + 76] = b"".join((value << 16).to_bytes(4, "big", signed=True) for value in matrix)
    (tmp_path / "turned.mp4").write_bytes(data)
    reader = VideoReader(tmp_path / "turned.mp4")
    assert (reader.width, reader.height) == (16, 32)
    assert torch.equal(read(tmp_path / "turned.mp4"), read(path).rot90(-1, (1, 2)))


def test_frames_of_containers_without_a_count_are_counted(tmp_path):
    path = write(tmp_path / "clip.mkv", colour_bars(11, 16, 16))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    assert VideoReader(path).num_frames == 11


def test_a_reader_can_be_left_half_way_and_read_again(tmp_path):
    path = write(tmp_path / "clip.mp4", colour_bars(9, 16, 16))
    with VideoReader(path, chunk=2) as reader:
        left = iter(reader)
        next(left)
        assert sum(len(part) for part in reader) == 9
        next(left)
    assert next(left, None) is None


@pytest.mark.parametrize("name", ["empty.mp4", "text.mp4", "text.txt", "noise.webm", "playlist.m3u8"])
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, name, draws):
    content = {
        "empty.mp4": b"",
        "noise.webm": bytes(torch.randint(0, 256, (5000,), generator=draws, dtype=torch.uint8).tolist()),
        "playlist.m3u8": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/clip.ts\n",
    }
    (tmp_path / name).write_bytes(content.get(name, b"not a video\n" * 200))
    with pytest.raises(ValueError, match=rf"{name} (is damaged or not a video|holds no video)") as caught:
        VideoReader(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="there is no video"):
        VideoReader(tmp_path / "none.mp4")


@pytest.fixture
def streamable(tmp_path, draws):
    """A file whose index comes first, so that its beginning can be read without its end."""
    source = write(tmp_path / "source.mp4", torch.rand(30, 32, 32, 3, generator=draws), fps=24)
    with (
        av.open(str(source)) as given,
        av.open(str(tmp_path / "s.mp4"), "w", options={"movflags": "faststart"}) as made,
    ):
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    return tmp_path / "s.mp4"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 0.99])
def test_a_video_that_is_cut_off_is_an_error_not_a_shorter_video(streamable, share):
    assert len(read(streamable)) == 30
    data = streamable.read_bytes()
    streamable.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"is (cut off|damaged)"):
        read(streamable)


def test_bytes_overwritten_in_the_middle_are_an_error(streamable):
    data = bytearray(streamable.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    streamable.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged"):
        read(streamable)


def test_a_failure_leaves_neither_the_file_nor_a_part_of_it(tmp_path):
    with pytest.raises(KeyError), VideoWriter(tmp_path / "clip.mp4", 16, 16, 8) as writer:  # noqa: PT012
        writer.write(colour_bars(3, 16, 16))
        raise KeyError
    with pytest.raises(ValueError, match="no frame was written"), VideoWriter(tmp_path / "none.mp4", 16, 16, 8):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_file_that_was_there(tmp_path):
    path = write(tmp_path / "clip.mp4", colour_bars(3, 16, 16))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="NaN"), VideoWriter(path, 16, 16, 8) as writer:
        writer.write(torch.full((1, 16, 16, 3), float("nan")))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to_is_named_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for path in (tmp_path / "file" / "clip.mp4", tmp_path / "folder.mp4"):
        with pytest.raises(ValueError, match=f"{path.name} cannot be written: "):
            write(path, colour_bars(2, 16, 16))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.mp4"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"path": "clip.gif"}, "clip.gif ends in .gif; videos end in .mp4, .mov, .mkv, .webm"),
        ({"path": "clip"}, "clip ends in nothing"),
        ({"width": 0}, "the size is 0x16; videos are 1x1 to 16384x16384"),
        ({"height": 20000}, "the size is 16x20000"),
        ({"fps": 0}, "fps is 0; it must be between"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"codec": "mpeg2"}, "codec mpeg2 does not go into .mp4; use h264 or vp9"),
        ({"path": "clip.webm", "codec": "h264"}, "codec h264 does not go into .webm; use vp9"),
        ({"codec": "vp9", "pixel_format": "yuv420p10le"}, "vp9 is not written in yuv420p10le; use yuv420p or yuv444p"),
        ({"codec": "vp9", "pixel_format": "rgb24"}, "vp9 is not written in rgb24; use yuv420p or yuv444p"),
        ({"crf": 52}, r"crf is 52; h264 takes 0 \(best\) to 51"),
        ({"codec": "vp9", "crf": -1}, r"crf is -1; vp9 takes 0 \(best\) to 63"),
        ({"height": 17, "pixel_format": "yuv420p10le"}, "16x17 is odd and yuv420p10le halves the colours"),
    ],
)
def test_impossible_videos_are_refused_before_anything_is_written(tmp_path, changes, sentence):
    request = {"path": "clip.mp4", "width": 16, "height": 16, "fps": 8, **changes}
    with pytest.raises(ValueError, match=sentence):
        VideoWriter(tmp_path / request.pop("path"), **request)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [torch.zeros(2, 16, 17, 3), torch.zeros(16, 16, 3), torch.zeros(2, 3, 16, 16)])
def test_frames_of_another_size_are_refused_with_both_sizes(tmp_path, frames):
    with (
        pytest.raises(ValueError, match=r"this video takes \(t, h, w, 3\) = \(t, 16, 16, 3\)"),
        VideoWriter(tmp_path / "clip.mp4", 16, 16, 8) as writer,
    ):
        writer.write(frames)


@pytest.mark.parametrize("fps", [0.5, 8, 23.976, 24000 / 1001, 29.97, 60])
def test_frame_rates_come_back(tmp_path, fps):
    path = write(tmp_path / "clip.mp4", colour_bars(5, 16, 16), fps=fps)
    assert VideoReader(path).fps == pytest.approx(fps, rel=1e-5)


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.webp"])
def test_images_have_the_exact_size_and_nearly_the_colours(tmp_path, name):
    image = colour_bars(1, 47, 65)[0]
    write_image(tmp_path / name, image.float() / 255)
    back = read(tmp_path / name)[0]
    assert back.shape == image.shape
    error = (back.float() - image.float()).abs().mean()
    assert error < 8 if name.endswith("jpg") else error == 0
    assert is_image(tmp_path / name)
    assert not is_image(tmp_path / "clip.mp4")


@pytest.mark.parametrize("image", [torch.zeros(4, 4), torch.zeros(4, 4, 4), torch.full((4, 4, 3), float("inf"))])
def test_an_image_that_cannot_be_written_leaves_no_file(tmp_path, image):
    with pytest.raises(ValueError, match=r"must be \(h, w, 3\)|NaN or infinite"):
        write_image(tmp_path / "image.png", image)
    with pytest.raises(ValueError, match=r"use \.mp4"):
        is_image(tmp_path / "image.tiff")
    assert list(tmp_path.iterdir()) == []


MEMORY = """
import sys, torch
from pathlib import Path
from sora_core.video import VideoReader, VideoWriter

def peak():  # getrusage would begin with the peak of the program that started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

with VideoWriter(sys.argv[1], 320, 240, 24) as writer:
    for i in range(300):
        writer.write(torch.full((1, 240, 320, 3), i % 256, dtype=torch.uint8))
        if i == 80:
            early = peak()
for i, _ in enumerate(VideoReader(sys.argv[1], chunk=4)):
    if i == 10:
        early_read = peak()
print(peak() - early, peak() - early_read)
"""


def test_memory_does_not_grow_with_the_duration(tmp_path):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs a system that tells the peak of one program")
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path / "long.mp4")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written, was_read = map(float, done.stdout.split())
    # The 220 frames after the first look are 50 MB of pixels.
    assert written < 15
    assert was_read < 15


def test_frames_outside_of_the_block_get_one_sentence_and_every_block_writes_a_file_of_its_own(tmp_path):
    writer, frame = VideoWriter(tmp_path / "a.mp4", 16, 16, 8), torch.zeros(1, 16, 16, 3)
    with pytest.raises(ValueError, match=r"a\.mp4 is not open; write its frames inside: with VideoWriter"):
        writer.write(frame)
    for count in (3, 2):
        with writer:
            writer.write(frame.expand(count, -1, -1, -1))
        assert writer.num_frames == VideoReader(tmp_path / "a.mp4").num_frames == count
    with pytest.raises(ValueError, match=r"a\.mp4 is not open"):
        writer.write(frame)
