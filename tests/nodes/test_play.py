"""Sora Play World goes on turn by turn from what is on disk, loses nothing, and refuses in one sentence."""

import math
from itertools import pairwise

import pytest
import torch

from sora_core.pipeline import DEFAULT_GUIDANCE


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_press_goes_on_and_what_was_there_stays_bit_for_bit(play):
    made = [play(action, seconds=seconds) for action, seconds in (("one", 9.0), ("two\nlines", 1.0), ("three", 0.5))]
    latents = [latent["samples"] for latent, *_ in made]
    assert [latent.shape[2] for latent in latents] == [3, 5, 6]
    for before, after in pairwise(latents):
        assert torch.equal(after[:, :, : before.shape[2]], before)
        assert (after[:, :, before.shape[2] :].std() > 0.01).all()
    latent, story, turn, video = made[-1]
    assert latent["sora_size"] == {"num_frames": 20, "height": 16, "width": 20, "fps": 8.0, "resized": True}
    assert story == "1. 0-1 s: one\n2. 1-2 s: two lines\n3. 2-2.5 s: three"
    assert turn == 3
    frames = video.get_components()
    assert frames.images.shape == (20, 16, 20, 3)
    assert frames.frame_rate == 8


def test_the_first_turn_is_what_sora_sampler_makes(play, sample, grid, run, nano):
    positive, negative = run("SoraTextEncode", clip=nano[1], prompt="snow", negative="rain")
    latent = grid(width=20, height=16, seconds=1.0, fps=8.0)
    asked = {"positive": positive, "negative": negative, "steps": 2, "guidance": DEFAULT_GUIDANCE}
    found = play("snow", negative="rain", latent=latent)[0]["samples"]
    torch.testing.assert_close(found, sample(latent, **asked), atol=1e-5, rtol=0)


def test_a_play_that_began_with_a_picture_goes_on_with_the_grid_alone(play, grid, run, nano):
    empty = grid(width=20, height=16, seconds=1.0, fps=8.0)
    (begun,) = run("SoraPlaceFrames", vae=nano[2], latent=empty, frames=torch.ones(1, 16, 20, 3))
    assert begun["samples"].shape != empty["samples"].shape
    first = play("one", latent=begun)[0]["samples"]
    latent, _, turn, video = play("two", latent=empty)
    assert turn == 2
    assert torch.equal(latent["samples"][:, :, : first.shape[2]], first)
    assert video.get_components().images.shape[1:] == (16, 20, 3)


def test_a_turn_is_decided_by_its_action_its_seed_and_what_it_goes_on_from(play):
    play("one")
    first, again, other, reseeded = (
        play(action, after=1, seed=seed)[0]["samples"][:, :, 3:]
        for action, seed in (("two", 5), ("two", 5), ("three", 5), ("two", 6))
    )
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-3
    assert (first - reseeded).abs().max() > 1e-3
    play("another beginning", after=0)
    assert (play("two")[0]["samples"][:, :, 3:] - first).abs().max() > 1e-3


def test_a_turn_sees_the_last_seconds_of_memory_clean_and_knows_when_it_begins(play, nano):
    past = play("one")[0]["samples"]
    seen = []
    hook = nano[0].model.diffusion_model.register_forward_pre_hook(
        lambda _, args, options: seen.append((args[0], options["transformer_options"]["sora_part"])), with_kwargs=True
    )
    try:
        play("two", memory=0.5, seconds=1.0)
    finally:
        hook.remove()
    for x, part in seen:
        assert x.shape[2] == 3, "one latent frame of memory, two of the new second"
        assert part == (5 / 8, True)
        assert (x[:, :, 0] - past[:, :, 2]).abs().max() < 1e-5


def test_going_back_sets_later_turns_aside_as_a_play_that_can_be_gone_on_with(play, worlds):
    for action in ("one", "two", "three"):
        whole = play(action)[0]["samples"]
    before, aside = files(play.folder), worlds / f"{play.name} (1)"
    latent, story, turn, _ = play("not two", after=1)
    assert turn == 2
    assert [line[3:] for line in story.splitlines()] == ["0-1 s: one", "1-2 s: not two"]
    assert torch.equal(latent["samples"][:, :, :3], whole[:, :, :3])
    assert files(aside) == before
    latent, story, *_ = play("four", play=aside.name)
    assert torch.equal(latent["samples"][:, :, :7], whole)
    assert len(story.splitlines()) == 4


def test_beginning_anew_keeps_the_old_play(play, worlds):
    for action in ("one", "two"):
        play(action)
    before = files(play.folder)
    for number in (1, 2):
        assert play("else", after=0)[1:3] == ("1. 0-1 s: else", 1)
        assert files(worlds / f"{play.name} ({number})") == before
        before = files(play.folder)


def test_the_model_that_ships_stays_in_its_world_and_does_what_is_asked(play, run):
    model, clip, vae = run("SoraLoadModel")
    latent = run("SoraNoiseGrid", vae=vae, width=64, height=64, seconds=1.0)[0]

    def frames(action, after=-1):
        made = play(action, after=after, model=model, clip=clip, vae=vae, latent=latent, steps=4, sampler="dpmpp_2m")
        return made[-1].get_components().images

    frames("a green rocket spins on Mars at sunset")
    other = frames("a green rocket spins on Mars at sunset")
    frames("a red ball rolls to the right in a meadow during the day", after=0)
    jumps, stands = (
        frames(f"a red ball {motion} in a meadow during the day", after=1) for motion in ("jumps", "stands still")
    )
    last, new = jumps[7], jumps[8]
    assert (new - last).abs().mean() < 0.3 * (new - other[8]).abs().mean()
    assert (jumps - stands)[8:].abs().mean() > 0.01


def test_the_same_actions_and_seeds_are_the_same_play(play):
    def once():
        play("one", after=0, seed=1)
        return play("two", seed=2)[0]["samples"]

    assert torch.equal(once(), once())


def test_a_given_video_is_gone_on_from(play, run, nano):
    from comfy_api.latest import InputImpl

    from sora_core.video import VideoWriter

    path = play.folder.parent.with_name("clip.mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 20, 16, 8.0) as writer:
        writer.write(torch.rand(16, 16, 20, 3, generator=torch.Generator().manual_seed(0)))
    given = run("SoraEncodeVideo", vae=nano[2], video=InputImpl.VideoFromFile(str(path)))[0]
    latent, story, *_ = play("one", latent=given)
    # The last latent frame is half a still picture, and made anew.
    assert given["samples"].shape[2] == 5
    assert torch.equal(latent["samples"][:, :, :4], given["samples"][:, :, :4])
    assert (latent["samples"][:, :, 4] - given["samples"][:, :, 4]).abs().max() > 1e-3
    assert latent["sora_size"]["num_frames"] == 24
    assert story == "1. 0-3 s: one"
    assert play("two", latent=given)[0]["samples"].shape[2] == 9


def test_placed_frames_are_completed(play, run, nano, grid):
    latent = grid(width=20, height=16, seconds=1.0, fps=8.0)
    placed = run("SoraPlaceFrames", vae=nano[2], latent=latent, frames=torch.rand(1, 16, 20, 3))[0]
    found = play("one", latent=placed)[0]["samples"]
    assert found.shape[2] == 3
    torch.testing.assert_close(found[:, :, 0], placed["samples"][:, :, 0], atol=1e-5, rtol=0)


def test_every_press_of_run_is_a_turn(comfy, pack):
    block = comfy.NODE_CLASS_MAPPINGS["SoraPlayWorld"]
    assert block.OUTPUT_NODE
    inputs = {"play": "a", "action": "b", "model": None}
    assert block.fingerprint_inputs(**inputs) != block.fingerprint_inputs(**inputs)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", "con:", "CON", "nul.txt", ".", "..", ".hidden", "end.",
                                  " ", "a\nb", "a\0b", "\ud800", "x" * 121, "世" * 41])  # fmt: skip
def test_names_that_no_folder_can_have_are_refused(play, worlds, name):
    before = sorted(worlds.parent.rglob("*"))
    with pytest.raises(ValueError, match="give a name that a folder can have") as told:
        play(play=name)
    assert "\n" not in str(told.value)
    assert sorted(worlds.parent.rglob("*")) == before


REFUSED = {
    "another size": (lambda grid: {"latent": grid(width=32, height=16, seconds=1.0, fps=8.0)},
                     r"is 20x16 pixels at 8 fps, 16 channels .* connected is 32x16 pixels"),
    "another rate": (lambda grid: {"latent": grid(width=20, height=16, seconds=1.0, fps=12.0)},
                     r"at 8 fps.* connected is 20x16 pixels at 12 fps.* give play another name"),
    "another model's latent": (lambda grid: {"latent": {"samples": torch.ones(1, 4, 3, 2, 4)}},
                               r"is \(1, 4, 3, 2, 4\) but this model's are \(b, 16, t, h, w\); use the VAE"),
    "several videos": (lambda grid: {"latent": grid(width=20, height=16, seconds=1.0, fps=8.0, batch=3)},
                       "this latent holds 3: set batch to 1"),
    "a turn that was not played": (lambda grid: {"after": 2}, "ends with turn 1: give at most 1, or -1"),
    "endless seconds": (lambda grid: {"seconds": math.inf}, "seconds is inf; it must be above 0"),
    "no memory": (lambda grid: {"memory": math.nan}, "memory is nan; it must be above 0"),
    "guidance that is no number": (lambda grid: {"guidance": math.nan}, "guidance is nan; it must be a finite number"),
    "levels that leave noise": (lambda grid: {"sigmas": torch.tensor([1.0, 0.8])}, r"end at 0\.8; .* must end at 0"),
    "no text encoder": (lambda grid: {"clip": None}, "found no text encoder"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_on_is_refused_in_one_sentence_and_changes_nothing(play, grid, case):
    play("one")
    before = files(play.folder)
    changes, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence) as told:
        play("two", **changes(grid))
    assert "\n" not in str(told.value)
    assert files(play.folder) == before


def test_the_model_of_a_loop_is_refused(play, run, nano, grid):
    looped, _ = run("SoraSeamlessLoop", model=nano[0], latent=grid())
    with pytest.raises(ValueError, match="would make a loop of every turn"):
        play(model=looped)


def test_a_folder_that_cannot_be_written_is_refused_before_the_turn_is_sampled(play, nano):
    play.folder.parent.mkdir(parents=True, exist_ok=True)
    play.folder.write_bytes(b"no folder")
    model = nano[0].clone()
    model.set_model_sampler_post_cfg_function(lambda _: pytest.fail("it was sampled"))
    with pytest.raises(ValueError, match=r"00001\.safetensors cannot be written: .*; choose another folder"):
        play(model=model)
    play.folder.unlink()


def test_a_damaged_turn_is_named_and_can_be_left_behind(play, worlds):
    for action in ("one", "two"):
        play(action)
    damaged = play.folder / "00002.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"00002\.safetensors is damaged.*set after to 1 to go on before it"):
        play("three")
    assert play("three", after=1)[2] == 2
    assert (worlds / f"{play.name} (1)" / damaged.name).is_file()


def test_an_interrupted_turn_leaves_the_play_as_it_was(comfy, play, nano):
    from comfy.model_management import InterruptProcessingException

    play("one")
    before, model = files(play.folder), nano[0].clone()

    def stop(args):
        comfy.interrupt_processing()
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(stop)
    for after in (-1, 0):
        with pytest.raises(InterruptProcessingException):
            play("two", model=model, after=after)
        assert files(play.folder) == before


@pytest.mark.parametrize(("error", "raised", "told"), [
    (MemoryError(), ValueError, "too little memory to decode the play; its new turn is kept in .*00002"),
    (OSError("No space left"), OSError, "No space left"),
])  # fmt: skip
def test_a_decode_that_fails_leaves_the_new_turn(play, nano, monkeypatch, caplog, error, raised, told):
    play("one")

    def fail(*_):
        raise error

    monkeypatch.setattr(nano[2].first_stage_model, "decode", fail)
    with pytest.raises(raised, match=told):
        play("two")
    monkeypatch.undo()
    assert raised is ValueError or "00002.safetensors" in caplog.text
    assert play("three")[1].splitlines()[1:] == ["2. 1-2 s: two", "3. 2-3 s: three"]


def test_a_turn_is_on_disk_before_it_is_decoded(play, nano, monkeypatch):
    network, seen = nano[2].first_stage_model, []
    decode = type(network).decode

    def look(part, state):
        seen.append(sorted(path.name for path in play.folder.iterdir()))
        return decode(network, part, state)

    monkeypatch.setattr(network, "decode", look)
    play("one")
    assert seen[0] == ["00001.safetensors"]
