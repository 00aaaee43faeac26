"""Shards of every world: rendered the same again, captioned anew from their labels, drawn in the shares asked for."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from sora_core.cli import main
from sora_core.data.generate import generate_shards
from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.mixture import DIRECTED_WEIGHT, clip_weights, shard_weights
from sora_core.data.store import ClipStore, pin_captions, pinned_store
from sora_core.data.worlds.attributes import Attributes
from sora_core.data.worlds.catalogue import WORLDS, mirrors, shown
from sora_core.data.worlds.scene import Mix
from sora_core.text.recognise import recognise
from sora_core.training.dit import DiTTask


def shard(world: str, clips: int) -> LatentShard:
    return LatentShard(torch.zeros(clips, 2, 1, 1, 1, 1), torch.zeros(clips, 2, 1, 1, 1, 1, 1),
                       torch.zeros(clips, 9, dtype=torch.uint8), 8.0, False, world)  # fmt: skip


def told(world, labels, draws, language, **mirrored):
    return WORLDS[world].compose(shown(world, labels, **mirrored), draws, language, "descriptive").text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two clips of every world, through the command."""
    out = tmp_path_factory.mktemp("worlds")
    for world in WORLDS:
        command = ["worlds", "--out", str(out), "--world", world, "--shards", "1", "--clips", "2", "--frames", "5"]
        assert main(command) == 0
    return out


def test_every_world_is_rendered_and_the_same_again(folder, tmp_path):
    store = ClipStore(folder)
    assert [s.path.name for s in store.shards] == [f"{w}_00000_5x64x64.safetensors" for w in sorted(WORLDS)]
    for world in WORLDS:
        generate_shards(tmp_path, world=world, shards=1, clips=2, num_frames=5, say=lambda _: None)
    for first, again in zip(store.shards, ClipStore(tmp_path).shards, strict=True):
        assert first.path.read_bytes() == again.path.read_bytes()
        assert not torch.equal(first.frames(0), first.frames(1))


class OldSlice:
    """A part of a file as safetensors 0.4.2 gives it: by ranges alone."""

    def __init__(self, part):
        self.part = part

    def __getitem__(self, index):
        assert all(isinstance(each, slice) for each in (index if isinstance(index, tuple) else (index,)))
        return self.part[index]


def test_clips_are_read_by_the_oldest_safetensors_too(folder):
    shard = ClipStore(folder).shards[0]
    old = replace(shard, file=SimpleNamespace(get_slice=lambda name: OldSlice(shard.file.get_slice(name))))
    assert torch.equal(old.frames(1, 2, 4), shard.frames(1)[2:4])
    assert old.labels(1) == tuple(shard.file.get_tensor("labels")[1].tolist())


def test_labels_give_captions_of_their_own_world(folder):
    said = {}
    for s in ClipStore(folder).shards:
        world = s.about["world"]
        draws = torch.Generator().manual_seed(1)
        said[world] = [told(world, s.labels(0), draws, "en") for _ in range(20)]
        assert len(set(said[world])) > 8
        attributes = WORLDS[world].sheet.from_indices(s.labels(0))
        assert attributes.indices() == s.labels(0)
    assert all(text.lower().startswith("a game of") for text in said["arcade"])
    assert all(
        "brush" in text or "paint" in text or "eat" in text or "bite" in text.lower() for text in said["painter"]
    )


def test_only_what_stays_true_in_a_mirror_is_mirrored():
    assert [mirrors(world) for world in ("sandbox", "painter", "arcade", "footage")] == [True, True, False, True]
    labels = (
        WORLDS["sandbox"]
        .sheet(subject="car", colour="red", environment="snow", time="day", motion="left", camera="static")
        .indices()
    )
    draws = torch.Generator().manual_seed(0)
    texts = [told("sandbox", labels, draws, "zh", mirrored=True) for _ in range(9)]
    assert {recognise(text).get("motion") for text in texts} <= {"right", None}
    assert sum("motion" in recognise(text) for text in texts) > 4
    assert shown("footage", ()) is None


def test_shares_decide_how_often_a_world_is_drawn():
    shards = [shard("sandbox", 6), shard("sandbox", 2), shard("painter", 4), shard("arcade", 8)]
    assert shard_weights(shards, {}).tolist() == [6, 2, 4, 8]
    weights = shard_weights(shards, {"painter": 0.1, "arcade": 0.2})
    assert weights.tolist() == pytest.approx([0.525, 0.175, 0.1, 0.2])
    assert shard_weights(shards, {"sandbox": 0.5}).tolist() == pytest.approx([0.375, 0.125, 0.5 / 3, 1 / 3])
    assert shard_weights(shards[2:], {"painter": 0.5, "arcade": 0.5}).tolist() == pytest.approx([0.5, 0.5])
    with pytest.raises(ValueError, match="the data hold only arcade, painter, sandbox"):
        shard_weights(shards, {"opera": 0.1})
    with pytest.raises(ValueError, match="share of arcade is 0"):
        shard_weights(shards, {"arcade": 0.0})
    with pytest.raises(ValueError, match=r"painter=0\.6, arcade=0.4 leave nothing for the other worlds"):
        shard_weights(shards, {"painter": 0.6, "arcade": 0.4})


def test_clips_that_go_somewhere_are_drawn_more_often():
    def labels(**values):
        fields = {"subject": "car", "colour": "red", "environment": "snow", "time": "day", "motion": "still",
                  "camera": "static"}  # fmt: skip
        return Attributes(**{**fields, **values}).indices()

    rows = torch.tensor([labels(), labels(motion="left"), labels(camera="push_in"), labels(motion="spin")])
    clips = replace(shard("sandbox", 4), labels=rows)
    assert clip_weights(clips).tolist() == [1, DIRECTED_WEIGHT, DIRECTED_WEIGHT, 1]
    assert clip_weights(shard("footage", 2)).tolist() == [1, 1]


def test_the_transformer_trains_on_all_worlds(folder, nano, tmp_path):
    encode_store(nano.vae, ClipStore(folder), tmp_path, say=lambda _: None)
    shards = [LatentShard.load(path) for path in sorted(tmp_path.iterdir())]
    assert [s.world for s in shards] == sorted(WORLDS)
    task = DiTTask(nano.config, shards, nano.text, nano.vae, tokens=3000, shares={"arcade": 0.6}, compile=False)
    texts = [s.text for step in range(4) for s in task.rows.row(step)[0] if s.text]
    games = [text for text in texts if text.lower().startswith("a game of") or "游戏" in text]
    assert 0.4 < len(games) / len(texts) < 0.8
    loss, figures, count = task.loss(0)
    assert torch.isfinite(loss)
    assert figures["mse"] > 0
    assert count > 1


def test_unknown_worlds_and_loops_of_worlds_without_any_are_refused(tmp_path, capsys):
    assert main(["worlds", "--out", str(tmp_path), "--world", "opera"]) == 2
    assert "there is no world 'opera'; choose from sandbox, painter, arcade" in capsys.readouterr().err
    with pytest.raises(ValueError, match="only the sandbox has loops"):
        WORLDS["arcade"].film(torch.Generator(), 4, 16, 16, 8.0, 0.5)


def test_pairs_and_walls_are_the_share_that_was_asked_for(tmp_path, capsys):
    command = ["worlds", "--out", str(tmp_path), "--shards", "1", "--clips", "8", "--frames", "5", "--pairs"]
    assert main([*command, "1", "--walls", "0.34"]) == 0
    shard = ClipStore(tmp_path).shards[0]
    sheets = [Attributes.from_indices(shard.labels(row)) for row in range(shard.clips)]
    assert all(sheet.second_subject != "none" for sheet in sheets)
    walled = [sheet for sheet in sheets if sheet.occluder == "wall"]
    assert 0 < len(walled) == sum(sheet.motion in ("left", "right", "circle") for sheet in sheets)
    assert main([*command, "2"]) == 2
    assert "--pairs is 2; it must be a share from 0 to 1" in capsys.readouterr().err
    assert main([*command, "0.5", "--world", "painter"]) == 2
    assert "only the sandbox has them, not painter" in capsys.readouterr().err
    assert main([*command, "1", "--walls", "0.5"]) == 2
    assert "--walls is 0.5; it must be a share from 0 to 0.34" in capsys.readouterr().err


def test_stills_are_drawn_together_and_have_one_picture(tmp_path, nano, capsys):
    command = ["worlds", "--out", str(tmp_path), "--shards", "1", "--first", "9", "--clips", "4", "--frames", "1"]
    assert main([*command, "--pairs", "1"]) == 0
    store = ClipStore(tmp_path)
    (shard,) = store.shards
    assert shard.shape == (1, 64, 64)
    assert not shard.about["periodic"]
    assert len({shard.labels(row) for row in range(4)}) > 1
    assert len({int(shard.frames(row).sum()) for row in range(4)}) == 4
    encode_store(nano.vae, store, tmp_path / "latents")
    latents = LatentShard.load(tmp_path / "latents" / shard.path.name)
    assert latents.clips.shape[:4] == (4, 2, 16, 1)
    assert torch.equal(latents.pictures[:, :, 0], latents.clips)
    assert main([*command, "--world", "arcade"]) == 2
    assert "--frames is 1; it must be at least 2" in capsys.readouterr().err


def test_damaged_shards_are_named(tmp_path):
    path = tmp_path / "sandbox_00000_5x32x32.safetensors"
    path.write_bytes(b"\x10" * 100)
    with pytest.raises(ValueError, match=r"sandbox_00000_5x32x32\.safetensors is damaged"):
        ClipStore(tmp_path)


def test_hidden_files_are_no_shards(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / f"._{path.name}").write_bytes(b"\0\5\x16\7Mac OS X")
    assert [s.path.name for s in ClipStore(tmp_path).shards] == [s.path.name for s in ClipStore(folder).shards]


FRAMES, LABELS, ABOUT = torch.zeros(2, 5, 32, 32, 3, dtype=torch.uint8), torch.zeros(2, 9), {"about": '{"fps": 8}'}


@pytest.mark.parametrize(
    ("frames", "labels", "header", "fault"),
    [
        (FRAMES, LABELS, None, "its header must say fps, a number above 0"),
        (FRAMES, LABELS, {"about": '{"fps": '}, "its header must say fps, a number above 0"),
        (FRAMES, LABELS, {"about": "null"}, "its header must say fps, a number above 0"),
        (FRAMES, LABELS, {"about": '{"fps": "8"}'}, "its header must say fps, a number above 0"),
        (FRAMES[0], LABELS, ABOUT, r"its frames are U8 \[5, 32, 32, 3\]; they must be U8 \[clips, frames"),
        (FRAMES.float(), LABELS, ABOUT, r"its frames are F32 \[2, 5, 32, 32, 3\]; they must be U8"),
        (FRAMES[:0], LABELS[:0], ABOUT, r"its frames are U8 \[0, 5, 32, 32, 3\]; they must be U8"),
        (FRAMES, LABELS[:1], ABOUT, r"its labels are \[1, 9\]; they must be \[2, attributes\], a row for each clip"),
        (FRAMES, None, ABOUT, "it holds no frames or no labels"),
    ],
)
def test_files_that_are_no_shards_are_refused_in_one_sentence(frames, labels, header, fault, tmp_path):
    held = {"frames": frames} if labels is None else {"frames": frames, "labels": labels}
    save_file(held, tmp_path / "a.safetensors", header)
    with pytest.raises(ValueError, match=rf"a\.safetensors is not a shard of clips: {fault}"):
        ClipStore(tmp_path)


def test_latents_without_a_header_are_named(tmp_path):
    save_file({name: torch.zeros(1, 1) for name in ("clips", "pictures", "labels")}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged: its header says no fps; delete it"):
        LatentShard.load(tmp_path / "a.safetensors")


def test_shards_of_other_clips_are_not_taken_for_those_asked_for(tmp_path):
    said = []
    for _ in range(2):
        generate_shards(tmp_path, shards=1, clips=1, num_frames=2, say=said.append)
    assert said[1].endswith(": kept")
    for change in ({"clips": 2}, {"seed": 1}):
        with pytest.raises(ValueError, match="is there with 1 clips of seed 0, not"):
            generate_shards(tmp_path, shards=1, num_frames=2, **({"clips": 1} | change))
    with pytest.raises(ValueError, match=r"is there with pairs 0\.3, walls 0\.07, not pairs 1, walls 0\.07; choose"):
        generate_shards(tmp_path, shards=1, clips=1, num_frames=2, mix=Mix(pairs=1))


def test_clips_are_rendered_in_the_size_that_is_asked_for(tmp_path):
    generate_shards(tmp_path, shards=2, clips=1, num_frames=2, size=(32, 48), say=lambda _: None)
    assert [shard.shape for shard in ClipStore(tmp_path).shards] == [(2, 32, 48)] * 2
    with pytest.raises(ValueError, match="clips of 50x20 pixels are no whole patches of 16; choose for instance 48x16"):
        generate_shards(tmp_path, shards=1, clips=1, num_frames=2, size=(20, 50), say=lambda _: None)


def test_a_run_goes_on_with_the_clips_it_began_with_alone(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    generate_shards(data, shards=1, clips=1, num_frames=2, say=lambda _: None)
    (first,) = pinned_store(data, run).shards
    pinned_store(data, run)
    first.path.unlink()
    with pytest.raises(ValueError, match=r"data has no sandbox_00000_2x64x64\.safetensors, which this run began with"):
        pinned_store(data, run)
    generate_shards(data, shards=1, clips=1, num_frames=2, seed=1, say=lambda _: None)
    with pytest.raises(ValueError, match=r"sandbox_00000_2x64x64\.safetensors holds other clips than those that this"):
        pinned_store(data, run)
    (run / "data.json").write_text('["sandbox_00000_2x64x64.safetensors"]')  # as older versions wrote it
    assert len(pinned_store(data, run).shards) == 1


def test_a_run_that_ended_while_it_noted_its_clips_can_begin_again(folder, tmp_path, monkeypatch):
    def half(path, text, **options):
        path.write_bytes(text[: len(text) // 2].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    for pin in (lambda: pinned_store(folder, tmp_path), lambda: pin_captions(ClipStore(folder), tmp_path)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", half)
            with pytest.raises(OSError, match="No space left"):
                pin()
        pin()
    assert {path.name for path in tmp_path.iterdir()} == {"data.json", "captions.json"}
