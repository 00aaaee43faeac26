"""Long videos: windows hand their latents on, nothing drifts away unchecked, and a killed run goes on where it was."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from sora_core.diffusion.conditioning import Known
from sora_core.editing import recipes
from sora_core.editing.long import Window, known_in, match_statistics, plan, sample_long, statistics
from sora_core.editing.long_state import LongState
from sora_core.editing.long_video import long_video, planned, window_cells
from sora_core.editing.sdedit import level
from sora_core.shapes import LatentShape, VideoShape
from sora_core.stored_latent import StoredLatent
from sora_core.text.timeline import parse

SHAPE = VideoShape(num_frames=41, height=16, width=16)  # 11 latent frames
SMALL = LatentShape(channels=4, frames=12, height=2, width=2)


@pytest.fixture
def make(sora, few):
    def run(prompt="a red ball", seed=3, **changes):
        settings = {"window": 2.0, "overlap": 1.0, "sampling": few} | changes
        return long_video(sora, prompt, settings.pop("shape", SHAPE), seed, **settings)

    return run


@pytest.mark.parametrize("anchor", [True, False])
@pytest.mark.parametrize(("frames", "window", "overlap"), [(1, 5, 2), (5, 5, 2), (6, 5, 2), (40, 6, 1), (23, 9, 7)])
def test_windows_make_every_frame_once_and_see_no_more_than_they_may(frames, window, overlap, anchor):
    windows = plan(frames, window, overlap, anchor=anchor)
    assert [cell for w in windows for cell in w.new] == list(range(frames))
    for before, w in pairwise(windows):
        assert len(w.cells) <= window
        assert len(w.past) >= overlap
        assert w.past.stop == w.new.start == before.new.stop
        assert w.anchored == (anchor and w.past.start > 0)
        assert sorted(set(w.cells)) == w.cells


@pytest.mark.parametrize(("frames", "window", "overlap"), [(6, 5, 2), (12, 5, 1), (40, 6, 2), (23, 9, 4), (24, 9, 4)])
def test_windows_of_a_loop_end_in_its_beginning(frames, window, overlap):
    windows = plan(frames, window, overlap, loop=True)
    assert [cell for w in windows for cell in w.new] == list(range(frames))
    assert [len(w.head) for w in windows] == [0] * (len(windows) - 1) + [overlap]
    for w in windows:
        assert w.continued
        assert not w.anchored
        assert len(w.cells) <= window
        assert len(w.past) >= overlap * (w.number > 0)
        assert len(set(w.cells)) == len(w.cells)
    assert windows[-1].cells[-overlap - 1 :] == [frames - 1, *range(overlap)]


def test_loops_without_room_for_both_ends_are_refused():
    with pytest.raises(ValueError, match="between 1 and 2"):
        plan(20, 5, 3, loop=True)
    with pytest.raises(ValueError, match="at least 3"):
        plan(20, 2, 1, loop=True)
    with pytest.raises(ValueError, match="loop of 5 latent frames fits a window of 5"):
        plan(5, 5, 1, loop=True)


@pytest.mark.parametrize(("window", "overlap", "nearest"), [(5, 4, "1 and 3"), (5, 0, "1 and 3"), (2, 1, "at least 3")])
def test_windows_without_anything_new_are_refused(window, overlap, nearest):
    with pytest.raises(ValueError, match=nearest):
        plan(20, window, overlap)


def test_windows_know_when_they_begin():
    frames = lambda cells: 4 * cells - 3  # noqa: E731
    assert Window(0, range(0), range(5)).start(frames, 8) == 0
    assert Window(3, range(10, 12), range(12, 15)).start(frames, 8) == 37 / 8
    assert Window(3, range(10, 12), range(12, 15), anchored=True).start(frames, 8) == 36 / 8


def test_window_and_overlap_are_rounded_to_latent_frames(geometry):
    assert window_cells(geometry, 8, 2.0, 0.5) == (5, 1)
    assert window_cells(geometry, 8, 2.0, 1.0) == (5, 2)
    with pytest.raises(ValueError, match="overlap is 0 seconds"):
        window_cells(geometry, 8, 2.0, 0)


def test_a_window_that_is_too_short_is_refused_in_seconds(geometry):
    assert planned(geometry, 8, 20, 2.0, 0.5) == plan(20, 5, 1)
    with pytest.raises(ValueError, match=r"window is 2 latent frames; .* 3; a latent frame is 0\.5 s here"):
        planned(geometry, 8, 20, 0.5, 0.1)


def test_the_past_is_handed_over_as_it_is():
    seen = []

    def sample(window, known):
        seen.append((window, known))
        return torch.randn(known.clean.shape, generator=torch.Generator().manual_seed(window.number))

    latent = sample_long(sample, SMALL, plan(12, 6, 2))
    for window, known in seen:
        assert torch.equal(known.clean[:, :, : window.made.start], latent[:, :, window.cells[: window.made.start]])
        assert known.mask.flatten(2)[0, 0].reshape(len(window.cells), -1).amax(1).tolist() == (
            [0] * window.made.start + [1] * len(window.new)
        )
    assert len(seen) == 3


def counting(window, known):
    """A model whose every window is full of its own number, from 1 on, and which keeps what it is given."""
    return torch.full_like(known.clean, window.number + 1.0) * known.mask + known.clean * (1 - known.mask)


def test_windows_fade_into_each_other():
    latent = sample_long(counting, SMALL, plan(12, 6, 3, anchor=False), fusion=2)[0, 0, :, 0, 0]
    thirds = [4 / 3, 5 / 3, 2, 7 / 3, 8 / 3, 3, 3, 3]
    assert latent.tolist() == pytest.approx([1, 1, 1, 1, *thirds])


def test_fading_leaves_what_was_given_as_it_is():
    clean, mask = torch.full((1, 4, 12, 2, 2), 7.0), torch.ones(1, 1, 12, 2, 2)
    mask[:, :, 5, 0] = 0
    settings = {"given": Known(clean, mask), "history": 0.1}
    whole = sample_long(counting, SMALL, plan(12, 6, 3, anchor=False), fusion=2, **settings)
    assert (whole[:, :, 5, 0] == 7).all()
    assert (whole[:, :, 5, 1] - 5 / 3).abs().max() < 1e-6
    assert (whole[:, :, 3] == 1).all()  # seen with noise, and handed over as it was


def test_fading_changes_only_what_two_windows_share(make):
    plain, faded = make(overlap=1.5), make(overlap=1.5, fusion=0.5)
    different = (plain - faded).abs().amax((0, 1, 3, 4)) > 0
    assert different.tolist() == [False] * 4 + [True] * 7


@pytest.mark.parametrize("fusion", [-1, 3])
def test_fading_that_leaves_nothing_of_the_overlap_is_refused(fusion):
    with pytest.raises(ValueError, match=f"fusion is {fusion} latent frames of an overlap of 3; .* between 0 and 2"):
        sample_long(counting, SMALL, plan(12, 6, 3), fusion=fusion)


def test_a_loop_runs_into_the_beginning_that_it_has(make, sora):
    seen = []
    latent = make(loop=True, overlap=0.5, report=seen.append)
    assert seen[-1].cells[-2:] == [10, 0]
    assert latent.shape[2] == 11
    assert sora.vae.decode_circular(latent).shape[2] == 44
    assert (latent - make(overlap=0.5)).abs().max() > 1e-3


def test_a_loop_has_the_frames_that_are_asked_for(make, sora, few):
    shape = replace(SHAPE, num_frames=40)
    latent = make(loop=True, overlap=0.5, shape=shape)
    assert sora.frames(latent, circular=True).shape[2] == 40
    assert recipes.loop(sora, "a red ball", shape, 3, sampling=few).shape == latent.shape


def test_what_is_given_for_another_video_gets_one_sentence(make):
    with pytest.raises(ValueError, match=r"is a latent of \(16, 9, 2, 2\) .* the video's is \(16, 11, 2, 2\)"):
        make(given=Known(torch.zeros(1, 16, 9, 2, 2), torch.ones(1, 1, 9, 2, 2)))


def test_known_cells_anywhere_in_the_video_are_kept(make, draws):
    clean, mask = torch.randn(1, 16, 11, 2, 2, generator=draws), torch.ones(1, 1, 11, 2, 2)
    mask[:, :, [0, 7]] = 0
    latent = make(given=Known(clean, mask), correction=1.0)
    assert torch.equal(latent[:, :, [0, 7]], clean[:, :, [0, 7]])
    assert (latent - clean)[:, :, 8].abs().max() > 0.1


def test_a_video_that_fits_one_window_is_what_the_pipeline_makes(make, sora, few):
    shape = replace(SHAPE, num_frames=17)
    expected = sora.sample(["a red ball"], shape, [3], steps=few.steps)
    assert torch.equal(make(shape=shape), expected)
    assert torch.equal(make()[:, :, :5], expected)


def test_a_run_that_was_killed_goes_on_bit_for_bit(make, tmp_path):
    whole, path, seen = make(), tmp_path / "long.safetensors", []

    def killed(window):
        if window.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(state=path, report=killed)
    (folder,) = tmp_path.iterdir()
    assert sorted(part.name for part in folder.iterdir()) == ["00000.safetensors", "00001.safetensors"]
    assert torch.equal(make(state=path, report=lambda w: seen.append(w.number)), whole)
    assert seen[0] == 2
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "one file of all in the place of the windows'"


@pytest.mark.parametrize("changes", [{"seed": 4}, {"prompt": "snow"}, {"correction": 0.1}, {"overlap": 0.5}])
def test_the_state_of_another_video_is_refused(make, tmp_path, changes):
    path = tmp_path / "long.safetensors"
    make(state=path)
    with pytest.raises(ValueError, match="other settings; delete it"):
        make(state=path, **changes)


@pytest.mark.parametrize("fusion", [0.0, 0.25])
def test_each_window_writes_only_what_it_made(make, tmp_path, fusion):
    """A minute of high definition is gigabytes; written anew after each window it would be hundreds of them."""
    path = tmp_path / "long.safetensors"

    def killed(window):
        if window.number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(state=path, report=killed, fusion=fusion)
    frames = [StoredLatent(part).shape[2] for part in sorted(path.with_suffix(".windows").iterdir())]
    assert len(frames) == 3
    assert frames[2] == frames[1] <= frames[0]
    assert torch.equal(make(state=path, fusion=fusion), make(fusion=fusion))


def test_a_damaged_state_is_refused_and_can_be_found(tmp_path):
    path = tmp_path / "long.safetensors"
    window = path.with_suffix(".windows") / "00000.safetensors"
    window.parent.mkdir()
    for damaged in (window, path):
        damaged.write_bytes(b"nothing")
        with pytest.raises(ValueError, match=f"^{re.escape(str(damaged))} is damaged or no state"):
            LongState(path, "").load(torch.zeros(1, 4, 3, 2, 2))


def drifting(window, known):
    """A model that makes everything a little brighter and flatter than what it goes on from."""
    draws = torch.Generator().manual_seed(window.number)
    past = known.clean[:, :, : window.made.start]
    mean, deviation = (past.mean(), past.std()) if window.number else (0, 1)
    return torch.randn(known.clean.shape, generator=draws) * deviation * 0.8 + mean + 0.2


def test_correction_stops_the_drift_of_colours():
    windows = plan(60, 8, 2, anchor=False)
    shape = LatentShape(channels=4, frames=60, height=8, width=8)
    ends = {}
    for strength in (0.0, 1.0):
        latent = sample_long(drifting, shape, windows, correction=strength)
        first, last = statistics(latent[:, :, :8]), statistics(latent[:, :, -1:])
        ends[strength] = float((last[0] - first[0]).abs().mean()), float((last[1] / first[1]).mean())
    assert ends[0.0][0] > 1
    assert ends[0.0][1] < 0.3
    assert ends[1.0][0] < 0.3
    assert 0.7 < ends[1.0][1] < 1.3


def test_correction_begins_without_a_jump_and_ends_in_full():
    new = torch.randn(1, 4, 5, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 + 3
    mean, deviation = statistics(new)
    moved = match_statistics(new, (mean - 1, deviation), 0.5) - new
    torch.testing.assert_close(moved.mean((0, 1, 3, 4)), torch.tensor([-0.1, -0.2, -0.3, -0.4, -0.5]))
    assert torch.equal(match_statistics(new, statistics(new * 0), 0.0), new)


@pytest.mark.parametrize("correction", [-0.1, 1.1, float("nan")])
def test_correction_out_of_range_is_refused(correction):
    with pytest.raises(ValueError, match=r"between 0 \(none\) and 1"):
        sample_long(drifting, SMALL, plan(12, 6, 2), correction=correction)


def test_prompts_change_with_the_time_of_the_video(make):
    lines = parse("[0-3s] a red ball\n[3-6s] snow")
    changing, constant = make(lines, blend=0.0), make()
    assert torch.equal(changing[:, :, :6], constant[:, :, :6])
    assert (changing - constant)[:, :, -1].abs().max() > 1e-3


def test_an_anchor_takes_the_prompt_of_what_follows_it():
    assert Window(2, range(6, 7), range(7, 10), anchored=True).prompt_cells == [6, 6, 7, 8, 9]


def test_window_sees_only_its_own_past():
    latent = torch.arange(12.0).reshape(1, 1, 12, 1, 1)
    known = known_in(Window(1, range(3, 5), range(5, 8), anchored=True), latent, None)
    assert known.clean.flatten().tolist() == [0, 3, 4, 5, 6, 7]
    assert known.mask.flatten().tolist() == [0, 0, 0, 1, 1, 1]


def test_history_is_seen_with_a_little_noise_and_handed_over_unchanged(make):
    known = known_in(Window(1, range(3, 5), range(5, 8)), torch.ones(1, 1, 12, 1, 1), None, 0.1)
    assert known.mask.flatten().tolist() == pytest.approx([0.1, 0.1, 1, 1, 1])
    clean, noised = make(), make(history=0.2)
    assert torch.equal(clean[:, :, :5], noised[:, :, :5])
    assert (clean - noised)[:, :, 5:].abs().max() > 1e-3
    with pytest.raises(ValueError, match="history is 1"):
        make(history=1)


def test_history_is_the_share_of_noise_that_a_window_sees(make, monkeypatch):
    seen = []

    def kept(sora, known, *more, **settings):
        seen.append(level(known.mask).unique().tolist())
        return known.clean

    monkeypatch.setattr("sora_core.editing.long_video.regenerate", kept)
    make(history=0.1)
    assert seen[1] == pytest.approx([0.1, 1])


def test_parts_from_the_middle_are_no_stills(sora, draws):
    x, sigma = torch.randn(1, 16, 3, 2, 2, generator=draws), torch.ones(1)
    with torch.inference_mode():
        begun, middle, later = (
            sora.denoiser([""], fps=8, start=start, continued=continued)(x, sigma)
            for start, continued in ((0, False), (0, True), (50, True))
        )
    assert (begun - middle).abs().max() > 1e-3
    torch.testing.assert_close(middle, later, atol=1e-3, rtol=0)  # only distances count
