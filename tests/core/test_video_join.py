"""Joined videos hold every frame of their parts, as it was encoded and when it is due, and never mix encodings."""

import av
import pytest
import torch

from sora_core.video import VideoReader, VideoWriter
from sora_core.video_join import join


def written(path, count, *, fps=8.0, width=36, height=28):
    """A file of `count` frames that move, so that the encoder puts some out of order."""
    picture = torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(count))
    with VideoWriter(path, width, height, fps) as writer:
        for frame in range(count):
            writer.write(picture.roll(2 * frame, 2))
    return path


def decoded(path):
    """The frames of a file and the seconds at which they are shown."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.to_ndarray() for frame in frames], [float(frame.pts * frame.time_base) for frame in frames]


@pytest.mark.parametrize("fps", [8.0, 24000 / 1001, 7.3])
@pytest.mark.parametrize("counts", [(1,), (1, 1, 2), (2, 20, 5, 1), (9, 3)])
def test_every_frame_is_there_as_it_was_encoded_and_on_time(tmp_path, fps, counts):
    parts = [written(tmp_path / f"{number}.mp4", count, fps=fps) for number, count in enumerate(counts)]
    path = tmp_path / "joined.mp4"
    join(parts, path, fps)
    frames, times = decoded(path)
    wanted = [frame for part in parts for frame in decoded(part)[0]]
    assert len(frames) == len(wanted) == sum(counts)
    assert all((a == b).all() for a, b in zip(frames, wanted, strict=True))
    assert times == pytest.approx([number / fps for number in range(len(frames))], abs=1e-4)
    reader = VideoReader(path)
    assert (reader.num_frames, reader.variable) == (len(frames), False)
    assert reader.fps == pytest.approx(fps)


@pytest.mark.parametrize("other", [{"width": 40}, {"fps": 12.0}])
def test_a_part_that_was_encoded_otherwise_is_refused(tmp_path, other):
    parts = [written(tmp_path / "a.mp4", 3), written(tmp_path / "b.mp4", 3, **other)]
    with pytest.raises(ValueError, match=r"b\.mp4 is not encoded like .*a\.mp4, which it is to follow"):
        join(parts, tmp_path / "joined.mp4", 8.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_a_part_that_cannot_be_read_is_refused(tmp_path):
    parts = [written(tmp_path / "a.mp4", 3), tmp_path / "b.mp4"]
    parts[1].write_bytes(parts[0].read_bytes()[:400])
    with pytest.raises(ValueError, match=r"joined\.mp4 cannot be made: .+"):
        join(parts, tmp_path / "joined.mp4", 8.0)
    assert not (tmp_path / "joined.mp4").exists()


def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(tmp_path):
    part = written(tmp_path / "a.mp4", 3)
    with pytest.raises(ValueError, match=r"joined\.mp4 cannot be made: .+"):
        join([part], part / "joined.mp4", 8.0)
