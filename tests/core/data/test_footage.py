"""Real videos become shards of unlabelled clips that the compression network trains on."""

from __future__ import annotations

import pytest
import torch

from sora_core.cli import main
from sora_core.config import preset
from sora_core.data.store import ClipStore, write_shard
from sora_core.evaluation.reconstruction import real_clips
from sora_core.training.vae import VAETask
from sora_core.video import VideoWriter


def film(path, frames, width, height):
    """A video whose frames get brighter from first to last."""
    levels = torch.linspace(20, 220, frames).round().byte()
    with VideoWriter(path, width, height, 12) as writer:
        writer.write(levels[:, None, None, None].expand(frames, height, width, 3).contiguous())


def test_videos_are_cut_into_clips_that_follow_each_other(tmp_path):
    film(tmp_path / "wide.mp4", 14, 640, 320)
    film(tmp_path / "short.mp4", 3, 160, 160)
    film(tmp_path / "small.mp4", 14, 96, 96)
    out = tmp_path / "shards"
    command = ["worlds", "--out", str(out), "--from-videos", str(tmp_path), "--frames", "5", "--clips", "3"]
    assert main(command) == 0
    shards = ClipStore(out).shards
    # 14 frames are two pieces of 5, each cut at two places; shards hold three clips at most.
    assert [(s.clips, s.shape) for s in shards] == [(3, (5, 128, 128)), (1, (5, 128, 128))]
    assert [s.about["source"] for s in shards] == ["wide.mp4"] * 2
    assert shards[0].about["fps"] == 12
    assert shards[0].labels(0) == ()
    first, again, later = (shards[0].frames(row).float().mean((1, 2, 3)) for row in range(3))
    assert (first - again).abs().max() < 1
    assert later[0] > first[-1] > first[0]
    held = {s.path.name: s.path.read_bytes() for s in shards}
    assert main(command) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == held


def test_frames_are_reduced_one_at_a_time(tmp_path, monkeypatch):
    # A clip of 65 frames in 4K is six GB before it is reduced, and a quarter of that in bytes.
    film(tmp_path / "wide.mp4", 5, 640, 320)
    interpolate, seen = torch.nn.functional.interpolate, []

    def counted(x, **options):
        seen.append(len(x))
        return interpolate(x, **options)

    monkeypatch.setattr(torch.nn.functional, "interpolate", counted)
    assert main(["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]) == 0
    assert seen == [1] * 5


def test_the_compression_network_trains_on_them(tmp_path):
    film(tmp_path / "a.mp4", 17, 160, 128)
    assert main(["worlds", "--out", str(tmp_path / "shards"), "--from-videos", str(tmp_path)]) == 0
    task = VAETask(preset("nano").vae, ClipStore(tmp_path / "shards"), compile=False)
    assert torch.isfinite(task.loss(0)[0])


def test_another_video_in_the_folder_changes_no_shard_and_gets_its_own(tmp_path):
    command = ["worlds", "--out", str(tmp_path / "shards"), "--from-videos", str(tmp_path), "--frames", "5"]
    film(tmp_path / "b.mp4", 5, 128, 128)
    assert main(command) == 0
    film(tmp_path / "a.mp4", 5, 128, 128)
    assert main(command) == 0
    assert sorted(s.about["source"] for s in ClipStore(tmp_path / "shards").shards) == ["a.mp4", "b.mp4"]


def test_videos_that_give_no_clips_are_named(tmp_path, capsys):
    film(tmp_path / "a.mp4", 5, 128, 128)
    film(tmp_path / "short.mp4", 3, 160, 160)
    film(tmp_path / "small.mp4", 5, 96, 96)
    assert main(["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]) == 0
    said = capsys.readouterr().out
    for name in ("short.mp4", "small.mp4"):
        assert f"{name}: left out, it has no 5 frames of at least 128x128 pixels" in said
    assert "a.mp4: left out" not in said


def test_files_that_are_neither_videos_nor_their_texts_are_named(tmp_path, capsys):
    film(tmp_path / "a.mp4", 5, 128, 128)
    (tmp_path / "a.txt").write_text("a room", encoding="utf-8")
    command = ["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]
    assert main(command) == 0
    assert "left out" not in capsys.readouterr().out
    for name in ("b.avi", "lost.txt", "._a.mp4", *(f"c{number}.jpg" for number in range(5))):
        (tmp_path / name).write_bytes(b"none")
    assert main(command) == 0
    assert capsys.readouterr().out.strip().endswith("texts: b.avi, c0.jpg, c1.jpg, c2.jpg, c3.jpg, c4.jpg and 1 more")


def test_damaged_videos_are_named_and_do_not_keep_others_from_being_cut(tmp_path, capsys):
    film(tmp_path / "a.mp4", 40, 128, 128)
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[:40])
    film(tmp_path / "c.mkv", 300, 128, 128)
    film_of_c = (tmp_path / "c.mkv").read_bytes()
    (tmp_path / "c.mkv").write_bytes(film_of_c[: len(film_of_c) // 2])
    film(tmp_path / "d.mp4", 5, 128, 128)
    assert main(["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]) == 0
    said = capsys.readouterr().out
    assert "left out: b.mp4 is damaged or not a video" in said
    assert "only what comes before is cut: c.mkv is cut off" in said
    assert {s.about["source"] for s in ClipStore(tmp_path / "s").shards} == {"a.mp4", "c.mkv", "d.mp4"}


def test_hidden_files_are_no_videos(tmp_path):
    film(tmp_path / "a.mp4", 5, 128, 128)
    (tmp_path / "._a.mp4").write_bytes(b"\0\5\x16\7Mac OS X")
    assert main(["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]) == 0
    assert len(list(real_clips(tmp_path, num_frames=5))) == 1


def test_a_text_that_was_changed_is_not_passed_over_in_silence(tmp_path, capsys):
    film(tmp_path / "a.mp4", 5, 128, 128)
    command = ["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]
    for text, told in (("a dark room", False), ("a dark room", False), ("a bright room", True)):
        (tmp_path / "a.txt").write_text(text, encoding="utf-8")
        assert main(command) == 0
        assert ("is kept, though a.mp4 has another text" in capsys.readouterr().out) == told


def test_captions_that_outlive_their_shard_are_not_taken_for_those_of_others_in_silence(tmp_path, capsys):
    film(tmp_path / "a.mp4", 10, 128, 128)
    (tmp_path / "a.txt").write_text("a dark room", encoding="utf-8")
    command = ["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]
    assert main(command) == 0
    (shard,) = (tmp_path / "s").glob("*.safetensors")
    shard.unlink()
    (tmp_path / "a.txt").write_text("a bright room", encoding="utf-8")
    assert main(command) == 0
    assert "is kept, though a.mp4 has another text" in capsys.readouterr().out
    shard.unlink()
    assert main([*command, "--clips", "3"]) == 2
    assert "has captions of 4 clips; the shard holds 3: delete the captions" in capsys.readouterr().err


def test_shards_of_another_number_of_clips_are_refused(tmp_path, capsys):
    film(tmp_path / "a.mp4", 10, 128, 128)
    command = ["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]
    assert main(command) == 0
    (tmp_path / "a.txt").write_text("a dark room", encoding="utf-8")
    assert main([*command, "--clips", "3"]) == 2
    assert "is there with 4 clips of a.mp4, not 3" in capsys.readouterr().err
    assert main(command) == 0
    (shard,) = ClipStore(tmp_path / "s").shards
    assert len(shard.captions()) == shard.clips


def test_shards_of_another_seed_or_of_another_video_of_that_name_are_refused(tmp_path, capsys):
    film(tmp_path / "a.mp4", 10, 160, 160)
    command = ["worlds", "--out", str(tmp_path / "s"), "--from-videos", str(tmp_path), "--frames", "5"]
    assert main(command) == 0
    film(tmp_path / "a.mp4", 14, 160, 160)  # as many whole clips, of other brightness
    assert main(command) == 2
    assert "is there with other clips of a.mp4, of another seed or of what that video was" in capsys.readouterr().err


def test_clips_smaller_than_every_crop_are_refused(tmp_path):
    write_shard(
        tmp_path / "a.safetensors", torch.zeros(1, 1, 32, 32, 3, dtype=torch.uint8), torch.zeros(1, 0), {"fps": 8}
    )
    with pytest.raises(ValueError, match="no shard holds clips of 64x64 pixels, the smallest training crop"):
        VAETask(preset("nano").vae, ClipStore(tmp_path), compile=False)


def test_folders_without_usable_videos_are_refused(tmp_path, capsys):
    command = ["worlds", "--out", str(tmp_path / "shards"), "--from-videos", str(tmp_path)]
    assert main(command) == 2
    assert "holds no videos" in capsys.readouterr().err
    film(tmp_path / "a.mp4", 4, 64, 64)
    assert main(command) == 2
    assert "has 17 frames of at least 128x128 pixels" in capsys.readouterr().err
    with pytest.raises(ValueError, match="holds no"):
        ClipStore(tmp_path / "shards")
