"""Sora Load Clips: which files of a folder become clips, in which order, what is told of them, and what is refused."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sora_core.headless.example_clips import PROMPTS, write_clip
from sora_core.text.recognise import recognise
from sora_core.video import VideoReader, VideoWriter

BUNDLED = "examples (bundled)"


@pytest.fixture(scope="module")
def block(comfy, pack):
    return comfy.NODE_CLASS_MAPPINGS["SoraLoadClips"]


@pytest.fixture(scope="module")
def module(pack):
    return sys.modules[f"{pack.__name__}.nodes.load_clips"]


@pytest.fixture
def folder(comfy, request):
    """A new folder in ComfyUI's input directory."""
    import folder_paths

    path = Path(folder_paths.get_input_directory()) / f"clips of {request.node.name}"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def load(run, folder):
    """The block on that folder: clips, captions and names."""
    return lambda **asked: run("SoraLoadClips", **{"folder": folder.name} | asked)


def put_video(path, fps=8):
    with VideoWriter(path, 32, 16, fps) as writer:
        writer.write(torch.rand(5, 16, 32, 3, generator=torch.Generator().manual_seed(0)))


def put_image(path, colour=(255, 0, 0), size=(32, 16), **options):
    Image.new("RGB", size, colour).save(path, **options)


def said(comfy, folder):
    """What the block writes below itself."""
    block = comfy.NODE_CLASS_MAPPINGS["SoraLoadClips"]
    return block.EXECUTE_NORMALIZED(folder=folder.name, first=0, limit=0).ui["sora_text"][0]


def seen(clip):
    """What a VIDEO shows, through ComfyUI's own reading: frames `t h w 3`."""
    return clip.get_components().images


def test_clips_come_in_natural_order_with_what_their_text_files_say(load, folder):
    for name in ("clip10.mp4", "Clip2.png", "clip1.webm"):
        (put_image if name.endswith("png") else put_video)(folder / name)
    (folder / "clip10.txt").write_text("\ufeffa red ball\nbounces \n", encoding="utf-8")
    (folder / "Clip2.txt").write_text("一辆蓝色的汽车", encoding="utf-8")
    (folder / "other.txt").write_text("of no clip", encoding="utf-8")
    clips, captions, names = load()
    assert names == ["clip1.webm", "Clip2.png", "clip10.mp4"]
    assert captions == ["", "一辆蓝色的汽车", "a red ball bounces"]
    assert [len(seen(clip)) for clip in clips] == [5, 1, 5]


def test_videos_are_their_files(load, folder):
    put_video(folder / "a.MP4")
    ((clip,), _, _) = load()
    assert clip.get_stream_source() == str(folder / "a.MP4")


def test_what_is_no_clip_or_hidden_is_left_out(load, folder):
    put_video(folder / "a.mp4")
    put_video(folder / ".hidden.mp4")
    (folder / "notes.pdf").write_bytes(b"no clip")
    (folder / "b.mp4").mkdir()
    assert load()[2] == ["a.mp4"]


def test_it_says_how_many_there_are_and_what_it_left_out(comfy, pack, folder):
    put_video(folder / "a.mp4")
    (folder / "a.txt").write_text("a red ball", encoding="utf-8")
    assert said(comfy, folder) == "1 clip, 1 with a caption"
    put_image(folder / "b.png")
    for name in ("b10.avi", "b2.avi", "lost.txt", ".hidden"):
        (folder / name).write_bytes(b"no clip")
    expected = "2 clips, 1 with a caption; left out, as neither clips nor their captions: b2.avi, b10.avi, lost.txt"
    assert said(comfy, folder) == expected
    for number in range(10):
        (folder / f"c{number}.avi").write_bytes(b"no clip")
    assert said(comfy, folder).endswith("c0.avi, c1.avi, c2.avi, c3.avi, c4.avi, c5.avi and 5 more")


def test_first_and_limit_choose_a_part(load, folder):
    for number in range(5):
        put_image(folder / f"{number}.png")
    assert load(first=1, limit=2)[2] == ["1.png", "2.png"]
    assert load(first=3)[2] == ["3.png", "4.png"]
    with pytest.raises(ValueError, match=r"first is 5 and clips of .* holds 5 clips; use 0 to 4"):
        load(first=5)


def test_images_are_seen_as_a_viewer_shows_them(load, folder):
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    put_image(folder / "a.jpg", exif=turned)
    Image.fromarray(np.full((4, 6), 32896, np.uint16)).save(folder / "b.png")
    Image.new("RGBA", (6, 4), (0, 255, 0, 255)).save(folder / "c.webp", lossless=True)
    put_image(folder / "d.gif", save_all=True, append_images=[Image.new("RGB", (32, 16))])
    upright, deep, clear, moving = map(seen, load()[0])
    assert upright.shape == (1, 32, 16, 3)
    torch.testing.assert_close(deep, torch.full((1, 4, 6, 3), 128 / 255))
    torch.testing.assert_close(clear, torch.tensor([0.0, 1.0, 0.0]).expand(1, 4, 6, 3))
    torch.testing.assert_close(moving, torch.tensor([1.0, 0.0, 0.0]).expand(1, 16, 32, 3))


@pytest.mark.parametrize("at", [0.0, 0.5, -0.01])
def test_an_image_is_placed_as_one_picture_at_any_rate(run, nano, load, folder, at):
    put_image(folder / "a.png")
    ((clip,), _, _) = load()
    grid = run("SoraNoiseGrid", vae=nano[2], width=32, height=16, seconds=1.0, fps=24.0)[0]
    placed, expected = (
        run("SoraPlaceFrames", vae=nano[2], latent=grid, frames=frames, at=at)[0] for frames in (clip, seen(clip))
    )
    assert torch.equal(placed["noise_mask"], expected["noise_mask"])
    torch.testing.assert_close(placed["samples"], expected["samples"])


def test_an_image_is_saved_as_a_video_of_one_frame(load, folder, tmp_path):
    put_image(folder / "a.png")
    ((clip,), _, _) = load()
    clip.save_to(str(tmp_path / "a.mp4"))
    with VideoReader(tmp_path / "a.mp4") as reader:
        frames = torch.cat(list(reader))
    assert frames.shape == (1, 16, 32, 3)
    assert frames[..., 0].float().mean() > 200


@pytest.mark.parametrize("kept", [0, 20, 0.9])
def test_a_damaged_image_is_refused_by_its_name(load, folder, kept):
    noise = torch.randint(256, (32, 32, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Image.fromarray(noise.numpy()).save(folder / "b.jpg")
    put_image(folder / "a.png")
    content = (folder / "b.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(ValueError, match=r"^b\.jpg is damaged or no image that can be read; replace it"):
        load()


def test_text_that_is_not_utf8_is_refused_by_its_name(load, folder):
    put_image(folder / "a.png")
    (folder / "a.txt").write_bytes("un canard é".encode("latin-1"))
    with pytest.raises(ValueError, match=r"^a\.txt is not text in UTF-8"):
        load()


def test_a_folder_without_clips_says_where_to_put_them(block, load, folder):
    (folder / "a.txt").write_text("of nothing", encoding="utf-8")
    said = block.validate_inputs(folder=folder.name)
    assert said.startswith(f"{folder.resolve()} holds no clips; put videos (.mp4, .mov, .mkv, .webm) or images there")
    assert "\n" not in said
    with pytest.raises(ValueError, match="holds no clips"):
        load()


def test_folders_are_listed_after_the_examples_and_those_that_are_gone_refused(block, folder):
    (folder / "inner").mkdir()
    (folder / ".thumbs").mkdir()
    put_image(folder / "inner" / "a.png")
    choices = block.INPUT_TYPES()["required"]["folder"][1]["options"]
    assert choices[0] == BUNDLED
    assert {folder.name, f"{folder.name}/inner"} <= set(choices)
    assert f"{folder.name}/.thumbs" not in choices
    assert block.validate_inputs(folder=f"{folder.name}/inner") is True
    assert block.validate_inputs(folder=None) is True, "named by another block, which has not run yet"
    assert block.validate_inputs() is True, "missing, which ComfyUI says of any input that is required"
    assert block.validate_inputs(folder="gone").startswith('there is no folder "gone" in ComfyUI\'s input directory')


def test_no_path_leads_out_of_the_input_directory(block, load, folder, tmp_path):
    put_image(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("secret", encoding="utf-8")
    outside = os.path.relpath(tmp_path, folder.parent)
    for name in (str(tmp_path), outside, "..", ".", "", f"{folder.name}/.."):
        with pytest.raises(ValueError, match="there is no folder"):
            load(folder=name)
        assert "there is no folder" in block.validate_inputs(folder=name)


def test_links_that_the_user_made_in_the_input_directory_are_followed(load, folder, tmp_path):
    """Large sets of clips lie on other disks."""
    (tmp_path / "set").mkdir()
    put_image(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "a.txt").write_text("a red ball", encoding="utf-8")
    (folder / "linked").symlink_to(tmp_path / "set", target_is_directory=True)
    (folder / "b.png").symlink_to(tmp_path / "set" / "a.png")
    clips, captions, names = load(folder=f"{folder.name}/linked")
    assert (len(clips), captions, names) == (1, ["a red ball"], ["a.png"])
    assert load()[2] == ["b.png"]


def test_links_in_a_circle_are_gone_into_once(block, folder):
    (folder / "inner").mkdir()
    for name in ("all", "inner/back"):
        (folder / name).symlink_to(folder, target_is_directory=True)
    (folder / "inner" / "top").symlink_to(folder.parent, target_is_directory=True)
    choices = block.INPUT_TYPES()["required"]["folder"][1]["options"]
    assert {name for name in choices if name.startswith(f"{folder.name}/")} == {
        f"{folder.name}/{name}" for name in ("all", "inner", "inner/back", "inner/top")
    }


def test_a_changed_folder_runs_again(block, folder):
    put_image(folder / "a.png")
    put_image(folder / "b.png")

    def state(**asked):
        return block.fingerprint_inputs(**{"folder": folder.name, "first": 0, "limit": 0} | asked)

    found, of_a = [state()], state(limit=1)
    assert state() == found[0]
    (folder / "b.txt").write_text("a ball", encoding="utf-8")
    found.append(state())
    (folder / "b.txt").write_text("a cube", encoding="utf-8")
    os.utime(folder / "b.txt", ns=(1, 1))
    found.append(state())
    put_image(folder / "b.png", size=(64, 64))
    found.append(state())
    (folder / "b.png").rename(folder / "c.png")
    found.append(state())
    put_image(folder / "d.png")
    found.append(state())
    assert len(set(found)) == len(found)
    assert state(limit=1) == of_a, "what is not taken does not count"
    linked = state(first=None, limit=None)  # what the executor gives for values of other blocks
    assert state(first=None) == linked
    put_image(folder / "e.png")
    assert state(first=None) != linked


def test_a_folder_of_which_another_block_chooses_a_part_runs_again_only_if_it_changed(block, folder):
    """ComfyUI asks before that block has run, and takes an error for a change."""
    put_image(folder / "a.png")
    put_image(folder / "b.png")
    states = [block.fingerprint_inputs(folder=folder.name, first=None, limit=1) for _ in range(2)]
    (folder / "b.txt").write_text("a ball", encoding="utf-8")
    assert states[0] == states[1] != block.fingerprint_inputs(folder=folder.name, first=None, limit=1)


def test_a_folder_that_another_block_names_runs_again_only_if_a_file_of_any_folder_changed(block, folder):
    put_image(folder / "a.png")
    (folder / "inner").mkdir()

    def state():
        return block.fingerprint_inputs(folder=None, first=0, limit=0)

    found = [state()]
    assert state() == found[0]
    put_image(folder / "inner" / "b.png")
    found.append(state())
    (folder / "a.txt").write_text("a ball", encoding="utf-8")
    found.append(state())
    assert len(set(found)) == 3


def test_the_examples_are_four_small_clips_that_the_recogniser_understands(run, module):
    clips, captions, names = run("SoraLoadClips", folder=BUNDLED)
    assert names == [f"duck_{number}.mp4" for number in (1, 2, 3, 4)]
    assert [tuple(seen(clip).shape) for clip in clips] == [(17, 64, 96, 3)] * 4
    assert [clip.get_duration() for clip in clips] == [17 / 8] * 4
    for caption, prompt in zip(captions, PROMPTS, strict=True):
        assert recognise(prompt).items() <= recognise(caption).items()
    assert sum(path.stat().st_size for path in module.EXAMPLES.iterdir()) < 100_000


def test_the_examples_are_made_by_their_command(module, tmp_path):
    write_clip(tmp_path, 2, PROMPTS[1])
    frames = []
    for place in (tmp_path, module.EXAMPLES):
        with VideoReader(place / "duck_2.mp4") as reader:
            frames.append(torch.cat(list(reader)).float())
    assert (frames[0] - frames[1]).abs().mean() < 1, "another encoder may round otherwise"
    assert (tmp_path / "duck_2.txt").read_bytes() == (module.EXAMPLES / "duck_2.txt").read_bytes()


def test_a_model_is_trained_on_a_folder(run, load, folder):
    put_video(folder / "a.mp4", fps=24)
    put_image(folder / "b.png")
    (folder / "a.txt").write_text("a red ball", encoding="utf-8")
    clips, captions, _ = load()
    settings = {"checkpoint": ["nano.safetensors"], "steps": [2], "name": ["of a folder"], "fps": [24.0]}
    report = run("SoraTrain", clips=clips, captions=captions, **settings)[4]
    assert "2 steps on 2 pieces of 2 clips" in report, "an image is one picture at any rate"
