"""The video of a play is that of its whole latent, at the cost of what is new, whatever became of the kept files."""

from importlib import import_module

import pytest
import torch

from sora_core.shapes import VideoShape


@pytest.fixture
def shows(run, nano):
    """Whether the VIDEO of a play shows the frames of its LATENT as they are when all are decoded and written at once:
    how far both differ on average."""

    def difference(video, latent, vae=nano[2]):
        frames, whole = (
            each.get_components().images for each in (video, run("SoraDecodeVideo", vae=vae, latent=latent)[0])
        )
        assert frames.shape == whole.shape
        return float((frames - whole).abs().mean())

    return difference


def written(folder):
    """When the video of each turn was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}


@pytest.mark.parametrize("start", [0, 1, 5, 6, 33, 64])
def test_frames_from_any_one_on_are_those_of_the_whole(pack, nano, start):
    decode, media = (import_module(f"{pack.__name__}.nodes.{name}") for name in ("decode", "editing_media"))
    size, vae = VideoShape(num_frames=66, height=16, width=20, fps=8.0), nano[2]
    latent = torch.randn(1, 16, 18, 2, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        everything = torch.cat(list(decode.stream_frames(vae, latent, size, 4)))
        part = torch.cat(list(decode.frames_from(vae, latent, size, 4, start, media.geometry_of(vae))))
    assert everything[:, :, :, 0].diff(dim=0).abs().amax((1, 2)).min() > 0.01, "equal frames would show nothing"
    torch.testing.assert_close(part, everything[start:], atol=1e-5, rtol=0)


def test_the_video_is_that_of_the_whole_latent(play, shows):
    for action, seconds in (("one", 1.0), ("two", 0.5), ("three", 2.0), ("four", 0.05)):
        latent, _, _, video = play(action, seconds=seconds)
        assert shows(video, latent) < 0.02
    # The third turn's last latent frame shows one frame more, and of the fourth's own one is shown.
    assert len(video.get_components().images) == 30


def test_a_turn_decodes_no_more_however_long_the_play_is(play, nano, monkeypatch):
    network, seen = nano[2].first_stage_model, []
    decode = type(network).decode
    for turn in range(network.context // 2 + 1):
        play(str(turn), steps=1)
    monkeypatch.setattr(
        network, "decode", lambda part, state: seen.append(part.shape[2]) or decode(network, part, state)
    )
    for turn in range(3):
        before = written(play.folder)
        play(str(turn), steps=1)
        assert written(play.folder).items() >= before.items()
    # What it depends on, its own two latent frames, and the one whose end looked ahead at them.
    per_turn = network.context + 3
    assert sum(seen) == 3 * per_turn


SPOILED = {
    "missing": lambda path, others: path.unlink(),
    "damaged": lambda path, others: path.write_bytes(path.read_bytes()[:-100]),
    "of another turn": lambda path, others: path.write_bytes(others[0].read_bytes()),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_wrong_with_kept_videos_is_made_again(play, shows, how):
    for action in ("one", "two", "three"):
        play(action)
    first, second, third = sorted(play.folder.glob("*.mp4"))
    as_it_was = third.read_bytes()
    SPOILED[how](second, [first])
    latent, _, _, video = play("four")
    assert shows(video, latent) < 0.02
    assert third.read_bytes() == as_it_was
    again = written(play.folder)
    play("five")
    assert written(play.folder).items() > again.items()


def test_a_play_without_kept_videos_goes_on(play, shows):
    for action in ("one", "two"):
        play(action)
    for path in play.folder.glob("*.mp4"):
        path.unlink()
    latent, _, _, video = play("three")
    assert sorted(written(play.folder)) == ["00001.mp4", "00002.mp4", "00003.mp4"]
    assert shows(video, latent) < 0.02


def test_the_video_is_right_again_after_going_back(play, shows):
    for action in ("one", "two", "three"):
        play(action)
    first = written(play.folder)["00001.mp4"]
    latent, _, _, video = play("not two", after=1, seed=6)
    assert shows(video, latent) < 0.02
    assert sorted(written(play.folder)) == ["00001.mp4", "00002.mp4"]
    assert written(play.folder)["00001.mp4"] == first


def test_another_vae_shows_the_whole_play_anew(play, run, shows):
    for action in ("one", "two"):
        play(action)
    other = run("SoraLoadModel", checkpoint="nano.safetensors")[2]
    with torch.inference_mode():
        other.first_stage_model.decoder.shortcut.conv.bias.add_(0.4)
    latent, _, _, video = play("three", vae=other)
    assert shows(video, latent, other) < 0.02 < shows(video, latent)


def test_a_stopped_decode_is_made_up_for(play, nano, shows, comfy, monkeypatch):
    from comfy.model_management import InterruptProcessingException

    play("one")
    network, calls = nano[2].first_stage_model, []
    decode = type(network).decode

    def stop(part, state):
        calls.append(part)
        comfy.interrupt_processing(len(calls) > 1)
        return decode(network, part, state)

    monkeypatch.setattr(network, "decode", stop)
    with pytest.raises(InterruptProcessingException):
        play("two", seconds=9.0)
    monkeypatch.undo()
    assert sorted(written(play.folder)) == ["00001.mp4"]
    latent, _, turn, video = play("three")
    assert turn == 3
    assert shows(video, latent) < 0.02
