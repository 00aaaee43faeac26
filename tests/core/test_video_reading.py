"""Real files as cameras and editors make them: read by their times, in their colours, or refused with a reason."""

from fractions import Fraction

import av
import pytest
import torch

from sora_core.sound import Soundtrack
from sora_core.video import VideoReader, VideoWriter

GREYS = torch.arange(0, 250, 8)


def grey(value: int, size: int = 32) -> torch.Tensor:
    return torch.full((size, size, 3), int(value), dtype=torch.uint8)


def make(path, pictures, times=None, *, codec="libx264", pixels="yuv444p", options=None, form="rgb24", **tags):
    """A video of `h w 3` or `h w 4` pictures, by default at 10 per second, else at `times` in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"crf": "1"} if options is None else options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, context = pixels, stream.codec_context
        context.time_base = Fraction(1, 1000)
        for name, value in tags.items():
            setattr(context, name, value)
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture.contiguous().numpy(), format=form)
            if pixels != form:
                frame = frame.reformat(format=pixels, dst_colorspace="ITU601", dst_color_range="MPEG")
            frame.pts, frame.time_base = (times[i] if times else 100 * i), Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def titled_in_gbk(source, path):
    """A copy of a video whose title is in another encoding than files of its kind should have."""
    with av.open(str(source)) as plain, av.open(str(path), "w") as titled:
        titled.metadata["title"] = "QQQQ"
        stream = titled.add_stream_from_template(plain.streams.video[0])
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                titled.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"QQQQ", "测试".encode("gbk")))
    return path


def brightness(reader) -> list[int]:
    return [round(float(frame.float().mean())) for chunk in reader for frame in chunk]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_variable_frame_rate_is_read_by_its_timestamps(tmp_path, name):
    # Ten frames in the first second, then one that stays for a second, then ten more.
    times = [100 * i for i in range(10)] + [1000] + [2000 + 100 * i for i in range(10)]
    path = make(tmp_path / name, [grey(8 * i) for i in range(21)], times)
    reader = VideoReader(path)
    found = brightness(reader)
    assert len(found) == reader.num_frames == pytest.approx(3.0 * reader.fps, abs=1)
    assert ("rate varies" in reader.note) == (name == "clip.mp4")  # this mkv says 10, and its times fit that
    for i, value in enumerate(found):
        time = (i + 0.5) / reader.fps * 1000
        expected = 8 * sum(t <= time for t in times[1:])
        assert abs(value - expected) <= 9, f"at {time:.0f} ms"  # one frame earlier or later at most
    middle = found[round(1.2 * reader.fps) : round(1.8 * reader.fps)]
    assert max(middle) - min(middle) <= 2, "the frame that stays is shown all the while"


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_rate_that_varies_about_its_mean_is_noticed(tmp_path, name):
    """Header and guess agree on the mean, as for the recordings of phones."""
    times, now = [], 0
    for i in range(48):
        times.append(now)
        now += (33, 40, 17, 70)[i % 4]
    reader = VideoReader(make(tmp_path / name, [grey(5 * i) for i in range(48)], times))
    assert "rate varies" in reader.note
    found = brightness(reader)
    assert len(found) == reader.num_frames
    for i, value in enumerate(found[:-1]):
        shown = sum(t <= (i + 0.5) / reader.fps * 1000 for t in times[1:])
        assert abs(value - 5 * shown) <= 6


def test_constant_frame_rate_gives_every_frame_once(tmp_path):
    path = make(tmp_path / "clip.mkv", [grey(value) for value in GREYS])
    reader = VideoReader(path)
    assert brightness(reader) == pytest.approx(GREYS.tolist(), abs=2)
    assert (reader.note, reader.num_frames, reader.fps) == ("", len(GREYS), 10.0)


@pytest.mark.parametrize(("matrix", "shown"), [
    ((0, 1, -1, 0), lambda picture: picture.rot90(-1, (0, 1))),
    ((-1, 0, 0, -1), lambda picture: picture.rot90(2, (0, 1))),
    ((0, -1, 1, 0), lambda picture: picture.rot90(1, (0, 1))),
    ((-1, 0, 0, 1), lambda picture: picture.flip(1)),
    ((1, 0, 0, -1), lambda picture: picture.flip(0)),
    ((0, 1, 1, 0), lambda picture: picture.transpose(0, 1)),
], ids=["90", "180", "270", "mirrored", "upside down", "transposed"])  # fmt: skip
def test_turned_and_mirrored_videos_are_shown_as_their_files_say(tmp_path, matrix, shown):
    picture = torch.zeros(16, 32, 3, dtype=torch.uint8)
    picture[:4, :8] = 255
    path = make(tmp_path / "flat.mp4", [picture] * 2)
    a, b, c, d = (value << 16 for value in matrix)
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    values = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[header + 40 : header + 76] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)
    (frames,) = VideoReader(path)
    assert (frames[0].float() - shown(picture).float()).abs().mean() < 4


def test_pixels_that_are_no_squares_get_a_note(tmp_path):
    path = make(tmp_path / "wide.mp4", [grey(100)] * 2, sample_aspect_ratio=Fraction(4, 3))
    assert VideoReader(path).note == "its pixels are 4/3 times as wide as high and are read as squares"


@pytest.mark.parametrize("told", [None, 1_000_000], ids=["nothing", "a millisecond"])
def test_browser_recordings_without_a_rate_are_read_at_that_of_their_frames(tmp_path, told):
    draws = torch.Generator().manual_seed(1)
    times = [100 * i + int(torch.randint(-9, 10, (), generator=draws)) * (0 < i < 30) for i in range(31)]
    path = make(tmp_path / "recording.webm", [grey(8 * i) for i in range(31)], times, codec="libvpx", pixels="yuv420p",
                options={"crf": "4", "b": "4M"})  # fmt: skip
    data = bytearray(path.read_bytes())
    # DefaultDuration, in nanoseconds: browsers leave it out, and FFmpeg makes a millisecond of what it converts then.
    place = data.index(bytes.fromhex("23E383"))
    size = data[place + 3] & 0x7F
    void = bytes([0xEC, 0x80 | (2 + size)]) + bytes(2 + size)
    data[place : place + 4 + size] = data[place : place + 4] + told.to_bytes(size, "big") if told else void
    path.write_bytes(data)
    reader = VideoReader(path)
    assert (reader.fps, reader.num_frames) == (10.0, 31)
    assert len(brightness(reader)) == 31


def test_ten_bits_are_read_as_eight_with_a_note(tmp_path):
    path = make(tmp_path / "deep.mkv", [grey(200)] * 3, codec="libx264", pixels="yuv420p10le")
    reader = VideoReader(path)
    assert reader.note == "10 bits per colour are read as 8"
    assert brightness(reader) == pytest.approx([200] * 3, abs=2)


def test_a_video_that_changes_its_size_is_refused_with_both_sizes(tmp_path):
    # As browsers record calls whose connection gets better.
    small, large = (
        make(tmp_path / f"{side}.webm", [grey(90, side)] * 4, codec="libvpx-vp9", pixels="yuv420p") for side in (32, 48)
    )
    path = tmp_path / "call.webm"
    with av.open(str(path), "w") as container, av.open(str(small)) as first, av.open(str(large)) as second:
        stream = container.add_stream_from_template(first.streams.video[0])
        for part, later in ((first, 0), (second, 400)):
            for packet in part.demux(video=0):
                if packet.dts is not None:
                    packet.stream, packet.pts, packet.dts = stream, packet.pts + later, packet.dts + later
                    container.mux(packet)
    for chunk in (16, 4):
        with pytest.raises(ValueError, match=r"call.webm changes from 32x32 to 48x48 pixels at 0.40 s"):
            list(VideoReader(path, chunk=chunk))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_with_a_reason(tmp_path, transfer, name):
    path = make(
        tmp_path / "hdr.mp4", [grey(100)] * 2, codec="libx264", pixels="yuv420p10le", color_trc=transfer,
        color_primaries=9, colorspace=9,
    )  # fmt: skip
    with pytest.raises(ValueError, match=rf"hdr.mp4 cannot be read: it is HDR video \({name}\).*convert it"):
        VideoReader(path)


def test_wide_colours_are_read_with_a_note(tmp_path):
    path = make(tmp_path / "wide.mp4", [grey(100)] * 2, color_primaries=9, color_trc=1, colorspace=9)
    assert "BT.2020" in VideoReader(path).note


@pytest.mark.parametrize(("codec", "pixels", "name"), [
    ("qtrle", "argb", "clip.mov"), ("png", "rgba", "clip.mov"), ("ffv1", "yuva444p", "clip.mkv"),
])  # fmt: skip
def test_transparent_parts_are_black_whatever_colour_lies_there(tmp_path, codec, pixels, name):
    picture = torch.full((16, 16, 4), 255, dtype=torch.uint8)
    picture[:, 8:, 3] = 0
    path = make(tmp_path / name, [picture] * 2, codec=codec, pixels=pixels, options={}, form="rgba")
    reader = VideoReader(path)
    assert reader.note == "transparent parts are shown over black"
    (frames,) = reader
    assert frames[0, :, :8].float().mean() > 250
    assert frames[0, :, 8:].float().max() < 3


@pytest.fixture
def long(tmp_path):
    """Eight seconds at 10 per second, each with a key frame of its own and its own grey."""
    pictures = [grey(10 + 3 * i) for i in range(80)]
    options = {"crf": "1", "g": "10", "keyint_min": "10", "bf": "0", "sc_threshold": "0"}
    return make(tmp_path / "long.mp4", pictures, options=options)


@pytest.mark.parametrize(
    ("start", "seconds"), [(0.0, 1.0), (3.0, 1.0), (2.5, 1.2), (7.0, None), (7.5, 3.0), (0.2, 0.65)]
)
def test_a_part_holds_the_frames_of_its_time(long, start, seconds):
    reader = VideoReader(long, start=start, seconds=seconds)
    first = round(10 * start)
    last = 80 if seconds is None else min(80, first + round(10 * seconds))
    assert brightness(reader) == pytest.approx([10 + 3 * i for i in range(first, last)], abs=2)
    assert reader.num_frames == last - first


@pytest.mark.parametrize("name", ["part.ts", "part.flv"])
def test_a_part_is_exact_where_a_container_goes_by_the_times_of_decoding(tmp_path, name):
    options = {"crf": "1", "g": "12", "bf": "2", "sc_threshold": "0"}
    path = make(tmp_path / name, [grey(10 + 8 * i) for i in range(30)], pixels="yuv420p", options=options)
    for first in (1, 9, 10, 11, 12, 22, 29):
        reader = VideoReader(path, start=first / 10, seconds=0.3)
        wanted = [10 + 8 * i for i in range(first, min(30, first + 3))]
        assert brightness(reader) == pytest.approx(wanted, abs=3), f"from frame {first}"


def test_seeking_reads_only_the_second_that_is_asked_for(long):
    with av.open(str(long)) as container:
        places = [(float(p.pts * p.time_base), p.pos, p.size) for p in container.demux(video=0) if p.pts is not None]
    data = bytearray(long.read_bytes())
    for time, place, size in places:
        if not 2.95 <= time < 4.15:  # the second, and the frame after it that says that it has ended
            data[place : place + size] = bytes(size)
    broken = long.with_name("broken.mp4")
    broken.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        VideoReader(broken)
    assert brightness(VideoReader(broken, start=3.0, seconds=1.0)) == pytest.approx(
        [10 + 3 * i for i in range(30, 40)], abs=2
    )


def test_a_start_after_the_end_is_refused(long):
    with pytest.raises(ValueError, match=r"long.mp4 is 8.00 s long; there is nothing at 9.00 s"):
        VideoReader(long, start=9.0)
    with pytest.raises(ValueError, match="start is -1"):
        VideoReader(long, start=-1)
    for seconds in (0, float("inf")):
        with pytest.raises(ValueError, match=f"seconds is {seconds}; it must be above 0, or None for all"):
            VideoReader(long, seconds=seconds)


def test_a_damaged_file_says_how_many_of_its_frames_can_be_read(long):
    with av.open(str(long)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.pts is not None]
    data = bytearray(long.read_bytes())
    place, size = places[42]
    data[place : place + size] = bytes(size)
    long.write_bytes(data)
    with pytest.raises(ValueError, match=r"long.mp4 is damaged: only 4\d of 80 frames can be read"):
        list(VideoReader(long))


def test_frames_that_are_missing_are_not_counted(tmp_path):
    times = [100 * i for i in range(602) if i not in (100, 101)]
    path = make(tmp_path / "gap.mp4", [grey(i % 250) for i in range(len(times))], times)
    reader = VideoReader(path)
    assert not reader.variable
    assert reader.num_frames == sum(len(chunk) for chunk in reader) == 602


def test_a_container_that_begins_before_its_first_picture_loses_no_frame(tmp_path):
    with av.open(str(tmp_path / "b.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"bf": "2", "qscale": "2"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for i in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(20 * i).numpy(), format="rgb24")))
        container.mux(stream.encode(None))
    reader = VideoReader(tmp_path / "b.avi")
    found = brightness(reader)
    assert reader.num_frames == len(found) == 12
    assert all(abs(value - 20 * i) < 8 for i, value in enumerate(found)), found


def test_h264_in_avi_is_shown_in_the_order_of_display(tmp_path):
    names = ("clip.avi", "clip.mp4")
    for name in names:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for i in range(12):  # so slow a change that most frames refer to later ones
                frame = av.VideoFrame(64, 64, "yuv420p")
                for k, plane in enumerate(frame.planes):
                    plane.update(bytes([9 * i + k]) * plane.buffer_size)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    avi, mp4 = (torch.cat(list(VideoReader(tmp_path / name))) for name in names)
    assert len(avi) == 12
    assert torch.equal(avi, mp4)


def test_a_bare_stream_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "raw 1.h264"
    make(path, [grey(8 * i) for i in range(12)])
    with pytest.raises(ValueError, match=r"raw 1\.h264 holds a video without a container.*'raw 1\.mkv'"):
        VideoReader(path)


def test_a_recording_that_ends_before_its_first_picture_is_damaged(tmp_path):
    path = make(tmp_path / "crashed.mkv", [grey(value) for value in GREYS[:5]])
    data = path.read_bytes()
    path.write_bytes(data[: data.index(bytes.fromhex("1F43B675")) + 100])  # in the first cluster of pictures
    with pytest.raises(ValueError, match=r"crashed.mkv is damaged: its first frame cannot be decoded"):
        VideoReader(path)


def test_titles_in_another_encoding_are_no_damage(tmp_path):
    plain = make(tmp_path / "plain.mp4", [grey(value) for value in GREYS[:5]])
    titled = titled_in_gbk(plain, tmp_path / "titled.mp4")
    assert brightness(VideoReader(titled)) == brightness(VideoReader(plain))
    with VideoWriter(tmp_path / "copy.mp4", 32, 32, 10, sound=Soundtrack(titled)) as writer:
        writer.write(torch.zeros(1, 32, 32, 3))
