"""A play on disk: turns are read as they were written, later ones are set aside whole, and damage is told by file."""

from dataclasses import replace

import pytest
import torch

from sora_core.editing.play_state import Play, Turn
from sora_core.shapes import LatentShape, VideoShape

DIMS = (4, 2, 3, 2)


def turn(number):
    """A turn of two latent frames, eight frames in all after the first."""
    c, t, h, w = DIMS
    return Turn(
        action=f"action {number}\nin two lines", seed=2**64 - number, model="Some",
        video=VideoShape(num_frames=8 * number, height=20, width=16, fps=12.5),
        latent=LatentShape(channels=c, frames=t, height=h, width=w),
    )  # fmt: skip


@pytest.fixture
def made():
    return [torch.randn(1, *DIMS, generator=torch.Generator().manual_seed(number)) for number in range(4)]


@pytest.fixture
def play(tmp_path, made):
    """A play of three turns."""
    play = Play(tmp_path / "my world")
    for number in (1, 2, 3):
        assert play.add(made[number], turn(number), number - 1) is None
    return play


def test_turns_are_read_as_they_were_added(play, made):
    again = Play(play.folder)
    assert again.last() == 3
    turns = again.turns(3)
    assert turns == [turn(1), turn(2), turn(3)]
    assert torch.equal(again.latent(turns), torch.cat(made[1:], dim=2))
    assert sorted(path.name for path in play.folder.iterdir()) == [f"0000{number}.safetensors" for number in (1, 2, 3)]


@pytest.mark.parametrize("first", [1, 2, 3, 5])
def test_only_the_files_that_are_asked_for_are_read(play, made, first):
    turns = play.turns(3)
    for number in range(1, first // 2 + 1):
        play.file(number).unlink()
    assert torch.equal(play.latent(turns, first), torch.cat(made[1:], dim=2)[:, :, first:])


def test_later_turns_are_set_aside_as_a_whole_play(play, made):
    for number in (1, 2, 3):
        play.segment(number).write_text(f"the video of turn {number}")
    before = {path.name: path.read_bytes() for path in play.folder.iterdir()}
    aside = play.add(made[0], turn(2), 1)
    assert aside == play.folder.with_name("my world (1)")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert [play.segment(number).exists() for number in (1, 2, 3)] == [True, False, False]
    assert play.turns(play.last()) == [turn(1), turn(2)]
    assert torch.equal(play.latent(play.turns(2), 2), made[0])
    assert play.add(made[3], turn(1), 0) == play.folder.with_name("my world (2)")
    assert play.last() == 1
    assert Play(play.folder.with_name("my world (2)")).turns(2) == [turn(1), turn(2)]


def test_a_play_that_cannot_be_set_aside_stays(play, made, monkeypatch):
    before = {path.name: path.read_bytes() for path in play.folder.glob("0*")}

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(ValueError, match="cannot be written: No space left on device; make room there"):
        play.add(made[0], turn(2), 1)
    assert {path.name: path.read_bytes() for path in play.folder.glob("0*")} == before
    monkeypatch.undo()
    assert play.add(made[0], turn(4), 3) is None
    assert play.last() == 4


def test_damaged_and_missing_turns_are_named_with_what_to_do(play):
    whole = play.file(2).read_bytes()
    for spoiled in (whole[: len(whole) // 2], b"", b"\xff" * 100, whole.replace(b"12.5", b"what")):
        play.file(2).write_bytes(spoiled)
        with pytest.raises(ValueError, match=r"00002\.safetensors is damaged or missing: .*; .*set after to 1") as told:
            play.turns(3)
        assert "\n" not in str(told.value)
    play.file(1).unlink()
    assert play.last() == 3
    with pytest.raises(ValueError, match=r"00001\.safetensors is damaged or missing: .* set after to 0 to begin anew"):
        play.turns(3)


def test_a_turn_of_another_play_is_noticed(play, made):
    wide = replace(turn(3), video=replace(turn(3).video, width=32))
    play.add(made[0], wide, 3)
    with pytest.raises(ValueError, match=r"00004.* is of another play: 32x20 pixels.*where turn 1 is 16x20 pixels at"):
        play.turns(4)
