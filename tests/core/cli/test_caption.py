"""`sora caption` describes videos, writes text beside them, and captions training sets that training then uses."""

from __future__ import annotations

import json

import pytest
import torch

from sora_core.cli import main
from sora_core.data.latents import LatentShard
from sora_core.data.store import ClipStore, pin_captions, write_captions, write_shard
from sora_core.evaluation.evaluate import USUAL
from sora_core.evaluation.fidelity import rendered
from sora_core.evaluation.prompts import described
from sora_core.text.captioner import describe, load_captioner
from sora_core.training.dit import DiTTask
from sora_core.training.reading import UNKNOWN
from sora_core.video import VideoWriter


@pytest.fixture(scope="module")
def clips():
    """Two rendered clips, `2 t h w 3`, uint8."""
    return (torch.cat(list(rendered(described(2, held_out=False), USUAL))) * 255).round().byte().movedim(1, -1)


def film(path, frames):
    with VideoWriter(path, 64, 64, 8, crf=1) as writer:
        writer.write(frames)


@pytest.fixture
def data(tmp_path, clips):
    """A folder of shards without labels."""
    write_shard(tmp_path / "data" / "footage_0.safetensors", clips, torch.zeros(2, 0, dtype=torch.uint8),
                {"fps": 8.0, "world": "footage", "periodic": False})  # fmt: skip
    return tmp_path / "data"


def test_a_video_is_described_in_a_line(tmp_path, clips, capsys):
    film(tmp_path / "a.mp4", clips[0])
    assert main(["caption", str(tmp_path / "a.mp4")]) == 0
    video = clips[:1].movedim(-1, 1).float() / 255
    assert capsys.readouterr().out.strip() == describe(load_captioner(), video, 8.0)[0]


def test_several_videos_are_named_and_text_is_written_beside_them(tmp_path, clips, capsys):
    paths = [tmp_path / f"{name}.mp4" for name in "ab"]
    for path, frames in zip(paths, clips, strict=True):
        film(path, frames)
    assert main(["caption", *map(str, paths), "--language", "zh", "--write"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for path, line in zip(paths, lines, strict=True):
        named, text = line.split("\t")
        assert named == str(path)
        assert path.with_suffix(".txt").read_text(encoding="utf-8") == f"{text}\n"
        assert text.endswith("。")


def test_a_text_that_somebody_wrote_is_kept(tmp_path, clips, capsys):
    film(tmp_path / "a.mp4", clips[0])
    (tmp_path / "a.txt").write_text("mine", encoding="utf-8")
    assert main(["caption", str(tmp_path / "a.mp4"), "--write"]) == 0
    assert "a.txt is kept" in capsys.readouterr().err
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "mine"


def test_texts_that_cannot_be_written_are_refused_before_the_work(tmp_path, clips, capsys):
    for name in ("a.mp4", "a.webm"):
        film(tmp_path / name, clips[0])
    assert main(["caption", str(tmp_path / "a.mp4"), str(tmp_path / "a.webm"), "--write"]) == 2
    assert "would both be a.txt" in capsys.readouterr().err
    (tmp_path / "a.txt").mkdir()
    assert main(["caption", str(tmp_path / "a.mp4"), "--write"]) == 2
    said = capsys.readouterr()
    assert "is a folder" in said.err
    assert not said.out


def test_videos_after_a_damaged_one_are_described_too(tmp_path, clips, capsys):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    film(tmp_path / "b.mp4", clips[0])
    assert main(["caption", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]) == 2
    said = capsys.readouterr()
    assert said.out.startswith(str(tmp_path / "b.mp4"))
    assert "1 of 2 videos could not be read: a.mp4" in said.err


def test_shards_that_know_what_they_show_are_left_out(tmp_path, clips, capsys):
    about = {"fps": 8.0, "world": "sandbox", "periodic": False}
    write_shard(tmp_path / "s.safetensors", clips, torch.zeros(2, 9, dtype=torch.uint8), about)
    assert main(["caption", "--data", str(tmp_path)]) == 0
    assert "s.safetensors is of the sandbox" in capsys.readouterr().err
    assert ClipStore(tmp_path).shards[0].captions() is None


def test_a_run_goes_on_only_with_the_captions_it_began_with(data, tmp_path):
    store = ClipStore(data)
    pin_captions(store, tmp_path)
    pin_captions(store, tmp_path)
    write_captions(store.shards[0].path, [["a"], ["b"]])
    with pytest.raises(ValueError, match="not those that this run began with"):
        pin_captions(store, tmp_path)


def test_a_training_set_gets_captions_once(data, capsys):
    assert main(["caption", "--data", str(data)]) == 0
    path = data / "footage_0.captions.json"
    assert capsys.readouterr().out.strip() == str(path)
    (shard,) = ClipStore(data).shards
    assert [len(texts) for texts in shard.captions()] == [2, 2]
    write_captions(shard.path, [["mine"], ["mine too"]])
    assert main(["caption", "--data", str(data)]) == 0
    assert "is kept" in capsys.readouterr().err
    assert shard.captions() == (("mine",), ("mine too",))


def test_training_takes_its_words_from_them_and_mirrors_nothing(nano):
    captions = (("a car to the left", "ein Auto"), ("a bus",))
    shard = LatentShard(
        torch.zeros(2, 2, 16, 1, 4, 4), torch.zeros(2, 2, 2, 16, 1, 4, 4), torch.zeros(2, 0, dtype=torch.uint8),
        fps=8.0, periodic=False, world="footage", captions=captions,
    )  # fmt: skip
    task = DiTTask(nano.config, [shard], nano.text, nano.vae, tokens=120, compile=False)
    draws = torch.Generator().manual_seed(0)
    said = set()
    for _ in range(200):
        picked = task.rows.pick(draws)
        assert picked[2] == 0
        text, labels = task.rows.words(*picked, draws)
        assert labels == UNKNOWN
        assert text in {"", *captions[picked[1]]}
        said.add(text)
    assert said == {"", *captions[0], *captions[1]}


def test_videos_bring_their_text_files_along(tmp_path):
    frames = torch.zeros(5, 128, 128, 3, dtype=torch.uint8)
    with VideoWriter(tmp_path / "a.mp4", 128, 128, 8) as writer:
        writer.write(frames)
    command = ["worlds", "--out", str(tmp_path / "shards"), "--from-videos", str(tmp_path), "--frames", "5"]
    assert main(command) == 0
    (shard,) = ClipStore(tmp_path / "shards").shards
    assert shard.captions() is None
    (tmp_path / "a.txt").write_text("a dark\nroom \n", encoding="utf-8-sig")
    assert main(command) == 0
    assert set(shard.captions()) == {("a dark room",)}


def test_text_in_another_encoding_is_named_before_the_work(tmp_path, capsys):
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, 128, 128, 8) as writer:
            writer.write(torch.zeros(5, 128, 128, 3, dtype=torch.uint8))
    (tmp_path / "b.txt").write_bytes("狗".encode("gbk"))
    command = ["worlds", "--out", str(tmp_path / "shards"), "--from-videos", str(tmp_path), "--frames", "5"]
    assert main(command) == 2
    assert "b.txt is not text in UTF-8" in capsys.readouterr().err
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not JSON"), ('{"a": 1}', "a list of captions for each clip"), ("[[], []]", "a list of captions"),
     ("[[1], [2]]", "a list of captions"), ('[["a"]]', "captions of 1 clips; the shard holds 2")],
)  # fmt: skip
def test_files_of_captions_that_do_not_fit_are_refused_before_training(data, tmp_path, capsys, content, message):
    (data / "footage_0.captions.json").write_text(content, encoding="utf-8")
    command = ["train", "dit", "--data", str(data), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main(command) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "give videos to describe"), (["a.mp4", "--data", "b"], "give videos to describe"),
     (["--data", "b", "--write"], "--write does nothing with --data"), (["a.mp4"], "there is no file a.mp4"),
     (["--data", "b"], "holds no .safetensors shards")],
)  # fmt: skip
def test_what_cannot_be_described_is_said_in_one_line(arguments, message, capsys):
    assert main(["caption", *arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]


def test_captions_of_json_keep_their_letters(data):
    write_captions(data / "footage_0.safetensors", [["一只鸭子"], ["a duck"]])
    path = data / "footage_0.captions.json"
    assert "一只鸭子" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == [["一只鸭子"], ["a duck"]]
