"""Sound is copied beside new frames as far as they reach, and does not mislead about how long a video is."""

from fractions import Fraction

import av
import pytest
import torch

from sora_core.sound import RATE, Soundtrack, read_sound, resampled, write_sound
from sora_core.video import VideoReader, VideoWriter


@pytest.fixture
def silent(tmp_path):
    """Two seconds at 10 per second, no frame of which waits for a later one."""
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width = stream.height = 32
        for i in range(20):
            grey = torch.full((32, 32, 3), 10 + 3 * i, dtype=torch.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey.numpy(), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def with_sound(silent):
    """Two seconds of video with four seconds of sound."""

    def build(name, codec, layout="mono"):
        path = silent.with_name(name)
        with av.open(str(silent)) as given, av.open(str(path), "w") as container:
            video = container.add_stream_from_template(given.streams.video[0])
            sound = container.add_stream(codec, rate=48000, layout=layout)
            for packet in given.demux(video=0):
                if packet.dts is not None:
                    packet.stream = video
                    container.mux(packet)
            tone = torch.sin(torch.arange(4 * 48000) * 0.05)[None].mul(9000).short().numpy()
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.rate, frame.pts = 48000, 0
            resampler = av.AudioResampler(format=sound.codec_context.format, layout=layout, rate=48000)
            fifo = av.AudioFifo()
            for part in resampler.resample(frame):
                fifo.write(part)
            for part in fifo.read_many(sound.codec_context.frame_size or 1024, partial=True):
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
        return path

    return build


def test_sound_is_copied_as_far_as_the_frames_reach(with_sound, tmp_path):
    source = with_sound("tone.mp4", "aac")
    with VideoWriter(tmp_path / "new.mp4", 32, 32, 10, sound=Soundtrack(source)) as writer:
        for _ in range(15):
            writer.write(torch.zeros(1, 32, 32, 3))
    with av.open(str(source)) as given, av.open(str(tmp_path / "new.mp4")) as made:
        assert made.streams.video[0].frames == 15
        before, after = ([bytes(p) for p in file.demux(audio=0) if p.size] for file in (given, made))
    assert after == before[: len(after)]
    assert len(after) * 1024 / 48000 == pytest.approx(1.5, abs=0.05)


def test_sound_of_a_part_begins_where_the_part_does(with_sound, tmp_path):
    source = with_sound("tone.mp4", "aac")
    with VideoWriter(tmp_path / "new.mp4", 32, 32, 10, sound=Soundtrack(source, 1.0)) as writer:
        writer.write(torch.zeros(5, 32, 32, 3))
    with av.open(str(source)) as given, av.open(str(tmp_path / "new.mp4")) as made:
        before, after = ([bytes(p) for p in file.demux(audio=0) if p.size] for file in (given, made))
    first = before.index(after[0])
    assert after == before[first : first + len(after)]
    assert first * 1024 / 48000 == pytest.approx(1.0, abs=0.05)
    assert len(after) * 1024 / 48000 == pytest.approx(0.5, abs=0.05)


def test_sound_begins_later_and_ends_earlier_than_the_frames(with_sound, tmp_path):
    source = with_sound("tone.mp4", "aac")
    with VideoWriter(tmp_path / "new.mp4", 32, 32, 10, sound=Soundtrack(source, -0.5, end=1.2)) as writer:
        writer.write(torch.zeros(20, 32, 32, 3))
    heard = read_sound(tmp_path / "new.mp4")
    assert VideoReader(tmp_path / "new.mp4").num_frames == 20
    assert heard[:, : int(0.45 * RATE)].abs().max() < 1e-3
    assert heard[:, int(0.55 * RATE) : int(1.15 * RATE)].abs().max() > 0.1
    assert heard.shape[1] / RATE == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_sound_that_the_file_has_before_its_part_is_not_heard(with_sound, tmp_path, start):
    track = Soundtrack(with_sound("tone.mp4", "aac"), start, begin=1.0)
    with VideoWriter(tmp_path / "new.mp4", 32, 32, 10, sound=track) as writer:
        writer.write(torch.zeros(20, 32, 32, 3))
    heard = read_sound(tmp_path / "new.mp4")
    assert heard[:, : int(0.95 * RATE)].abs().max() < 1e-3
    assert heard[:, int(1.05 * RATE) : int(1.9 * RATE)].abs().max() > 0.1


def test_a_part_of_a_track_is_read_as_samples(with_sound):
    source = with_sound("tone.mov", "pcm_s16le")
    tone = torch.sin(torch.arange(4 * RATE) * 0.05) * 9000 / 32768
    heard = read_sound(source, 1.0, 0.5)
    assert heard.shape == (2, RATE // 2)
    torch.testing.assert_close(heard[0], tone[RATE : RATE + RATE // 2], atol=1e-3, rtol=0)
    assert torch.equal(heard[0], heard[1])


def test_a_damaged_or_missing_part_of_a_track_is_silent(with_sound, tmp_path):
    """Packets that no decoder takes, as in many recordings, are no reason to refuse all others."""
    source, path = with_sound("tone.mp4", "aac"), tmp_path / "damaged.mkv"
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        tracks = {s.index: container.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.dts is None:
                continue
            when, heard = float(packet.pts * packet.time_base), packet.stream.type == "audio"
            if heard and 2.0 <= when < 2.5:
                continue
            if heard and 1.0 <= when < 1.5:
                packet.update(b"\xff" * packet.size)
            packet.stream = tracks[packet.stream.index]
            container.mux(packet)
    found = read_sound(path)
    assert found.shape[1] / RATE == pytest.approx(4.0, abs=0.1)
    loud = [bool(found[:, round(t * RATE) :][:, :4800].abs().max() > 0.1) for t in (0.5, 1.2, 1.7, 2.2, 2.7, 3.7)]
    assert loud == [True, False, True, False, True, True]


def test_a_file_without_sound_has_no_samples(silent):
    assert read_sound(silent) is None


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_samples_of_another_rate_are_those_of_two_channels(channels):
    tone = torch.sin(torch.arange(2 * 16000) * 0.05)
    found = resampled(tone.expand(channels, -1), 16000, 1.0)
    assert found.shape == (2, RATE)
    expected = torch.sin(torch.arange(RATE) * 0.05 / 3)
    torch.testing.assert_close(found[0, 500:-500], expected[500:-500], atol=0.02, rtol=0)


def test_the_voice_in_the_middle_of_six_channels_is_heard():
    samples = torch.zeros(6, RATE)
    samples[2] = torch.sin(torch.arange(RATE) * 0.05)
    assert bool((resampled(samples, RATE).abs().amax(1) > 0.5).all())


def test_samples_are_written_as_they_are_read(tmp_path):
    tone = torch.sin(torch.arange(RATE) * 0.05).expand(2, -1) * 0.5
    write_sound(tmp_path / "tone.m4a", tone)
    found = read_sound(tmp_path / "tone.m4a", 0.0, 1.0)
    torch.testing.assert_close(found[:, 4000:40000], tone[:, 4000:40000], atol=0.05, rtol=0)


def test_sound_that_does_not_fit_the_file_is_left_out_with_a_note(with_sound, tmp_path):
    source = with_sound("tone.mp4", "aac")
    with VideoWriter(tmp_path / "new.webm", 32, 32, 10, sound=Soundtrack(source)) as writer:
        writer.write(torch.zeros(3, 32, 32, 3))
    assert "the sound of tone.mp4 (aac) does not go into this kind of file and is left out" in writer.note
    assert VideoReader(tmp_path / "new.webm").num_frames == 3


def test_sound_of_a_file_that_only_counts_its_channels_is_copied(with_sound, tmp_path):
    source = with_sound("camera.mkv", "pcm_s16le", "stereo")
    with VideoWriter(tmp_path / "new.mp4", 32, 32, 10, sound=Soundtrack(source)) as writer:
        writer.write(torch.zeros(15, 32, 32, 3))
    assert writer.note == ""
    with av.open(str(source)) as given, av.open(str(tmp_path / "new.mp4")) as made:
        before, after = (b"".join(bytes(p) for p in file.demux(audio=0)) for file in (given, made))
    assert len(after) == pytest.approx(1.5 * 48000 * 4, rel=0.05)
    assert before.startswith(after)


def test_sound_that_the_muxer_refuses_is_left_out_with_a_note(with_sound, tmp_path):
    source = with_sound("tone.mkv", "libopus")
    with VideoWriter(tmp_path / "new.mov", 32, 32, 10, sound=Soundtrack(source)) as writer:
        writer.write(torch.zeros(3, 32, 32, 3))
    assert "the sound of tone.mkv (opus) does not go into this kind of file and is left out" in writer.note
    assert VideoReader(tmp_path / "new.mov").num_frames == 3


def moved(source, path, seconds, *, skip=0):
    """A copy of a video with sound whose times are later by some seconds, without the first `skip` packets of video."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        tracks = {s.index: container.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video" and skip:
                skip -= 1
                continue
            later = round(Fraction(seconds) / packet.time_base)
            packet.pts, packet.dts = packet.pts + later, packet.dts + later
            packet.stream = tracks[packet.stream.index]
            container.mux(packet)
    return path


def test_a_wmv_whose_sound_is_longer_is_not_cut_off(with_sound):
    reader = VideoReader(with_sound("tone.wmv", "libmp3lame"))
    assert reader.num_frames == sum(len(chunk) for chunk in reader) == pytest.approx(20, abs=1)


def test_matroska_with_sound_that_is_cut_off_is_an_error(with_sound):
    path = with_sound("tone.mkv", "aac")
    assert VideoReader(path).num_frames == sum(len(chunk) for chunk in VideoReader(path)) == 20
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with pytest.raises(ValueError, match=r"is (cut off|damaged)"):
        list(VideoReader(path))


def test_a_start_after_the_last_picture_is_refused_where_the_sound_goes_on(with_sound):
    reader = VideoReader(with_sound("tone.mkv", "aac"), start=3.0)
    with pytest.raises(ValueError, match=r"tone\.mkv shows nothing any more at 3\.00 s; begin earlier"):
        list(reader)


def test_sound_begins_with_the_first_frame_wherever_the_times_of_the_file_begin(with_sound, tmp_path):
    source = moved(with_sound("tone.mp4", "aac"), tmp_path / "later.ts", 30)
    track = Soundtrack(source)
    with VideoReader(source) as reader, VideoWriter(tmp_path / "new.mp4", 32, 32, 10, sound=track) as writer:
        assert reader.num_frames == sum(len(chunk) for chunk in reader) == 20
        for _ in range(15):
            writer.write(torch.zeros(1, 32, 32, 3))
    with av.open(str(tmp_path / "new.mp4")) as made:
        times = [float(p.pts * p.time_base) for p in made.demux(audio=0) if p.size]
    assert times[0] == pytest.approx(0, abs=0.05)
    assert times[-1] == pytest.approx(1.5, abs=0.1)
