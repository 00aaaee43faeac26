"""What is kept of a play's video: frames that no later turn changes, in files that tell whether they are still true."""

from dataclasses import replace

import av
import pytest
import torch

from sora_core.editing.geometry import Geometry
from sora_core.editing.play_state import Play, Turn
from sora_core.editing.play_video import Segment, segments
from sora_core.shapes import LatentShape, VideoShape
from sora_core.video import VideoWriter

CELLS = Geometry(channels=4, space=8, to_latent=lambda n: (n + 6) // 4, to_frames=lambda k: 4 * k - 3)
LATENT = torch.randn(1, 4, 7, 2, 2, generator=torch.Generator().manual_seed(0))
TURNS = [
    Turn(
        action="", seed=0, model="Some", video=VideoShape(num_frames=frames, height=16, width=16, fps=8.0),
        latent=LatentShape(channels=4, frames=cells, height=2, width=2),
    )
    for frames, cells in ((8, 3), (16, 2), (24, 2))
]  # fmt: skip


def planned(tmp_path, turns=TURNS, latent=LATENT, ahead=1, how="some decoder"):
    return segments(Play(tmp_path), turns, latent, CELLS, ahead, how)


@pytest.mark.parametrize(("ahead", "frames"), [
    (0, [range(7), range(7, 15), range(15, 23)]), (1, [range(5), range(5, 13), range(13, 21)]),
    (4, [range(1), range(1, 9)]),
])  # fmt: skip
def test_a_turn_keeps_the_frames_that_no_later_turn_is_seen_in(tmp_path, ahead, frames):
    found = planned(tmp_path, ahead=ahead)
    assert [part.frames for part in found] == frames
    # A turn too short for any final frame has no file.
    numbers = range(4 - len(frames), 4)
    assert [part.path.name for part in found] == [f"{number:05d}.mp4" for number in numbers]


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_kept_of_a_turn_does_not_depend_on_later_ones(tmp_path, count):
    cells = sum(turn.latent.frames for turn in TURNS[:count])
    assert planned(tmp_path, TURNS[:count], LATENT[:, :, :cells]) == planned(tmp_path)[:count]


def keys(tmp_path, **changes):
    return [part.key for part in planned(tmp_path, **changes)]


def test_what_is_kept_depends_on_the_latents_up_to_it_their_kind_and_how_they_are_decoded(tmp_path):
    before, changed = keys(tmp_path), LATENT.clone()
    changed[:, :, 4] += 1e-6
    same = [a == b for a, b in zip(before, keys(tmp_path, latent=changed), strict=True)]
    assert same == [True, False, False]
    for changes in ({"how": "another decoder"}, {"latent": LATENT.double()}):
        assert not set(before) & set(keys(tmp_path, **changes))
    shorter = [replace(TURNS[0], video=replace(TURNS[0].video, num_frames=5)), *TURNS[1:]]
    assert not set(before) & set(keys(tmp_path, turns=shorter))


@pytest.fixture
def kept(tmp_path):
    """A file of three frames, sealed."""
    segment = Segment(tmp_path / "00001.mp4", range(3), "this")
    with VideoWriter(segment.path, 16, 16, 8.0) as writer:
        writer.write(torch.rand(3, 16, 16, 3, generator=torch.Generator().manual_seed(0)))
    assert not segment.is_whole()
    segment.seal()
    return segment


def test_a_sealed_file_is_whole_and_still_a_video(kept):
    assert kept.is_whole()
    assert not replace(kept, key="that").is_whole()
    with av.open(str(kept.path)) as container:
        assert len(list(container.decode(video=0))) == 3


SPOILED = {
    "empty": lambda data: b"",
    "something else": lambda data: b"\xff" * 100,
    "cut off": lambda data: data[:-1],
    "not sealed": lambda data: data[:-40],
    "the seal alone": lambda data: data[-40:],
    "longer": lambda data: data + b"\0",
    "one bit": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_damaged_file_is_noticed(kept, how):
    kept.path.write_bytes(SPOILED[how](kept.path.read_bytes()))
    assert not kept.is_whole()


def test_a_missing_file_is_noticed(kept):
    kept.path.unlink()
    assert not kept.is_whole()
