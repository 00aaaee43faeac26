"""What an editing block cannot do gets one sentence and changes nothing, and it can be stopped within a step."""

import pytest
import torch

REFUSED = {
    "keyframe beyond the end": (
        "SoraPlaceFrames", {"frames": torch.rand(1, 32, 32, 3), "at": 9.0}, r"the time 9 s is outside the video"),
    "clip that does not fit": (
        "SoraPlaceFrames", {"frames": torch.rand(9, 32, 32, 3), "at": -0.01}, "does not fit in a video of 17 frames"),
    "context longer than the clip": (
        "SoraExtendVideo", {"video": torch.rand(9, 32, 32, 3), "context": 5.0},
        "context is 5 s, 40 frames, but the video has 9 at 8 fps: give at most 1.125 s"),
    "wrong channels": (
        "SoraExtendVideo", {"video": {"samples": torch.zeros(1, 4, 3, 4, 4)}}, "use the VAE that belongs to the model"),
    "latent backward": (
        "SoraExtendVideo", {"video": {"samples": torch.zeros(1, 16, 3, 4, 4)}, "direction": "backward"},
        "a latent can only be extended forward"),
    "enlarged latent": (
        "SoraEditVideo", {"video": {"samples": torch.zeros(1, 16, 3, 4, 4)}, "width": 64},
        "a latent cannot be enlarged"),
    "another shape": (
        "SoraEditVideo", {"video": torch.rand(5, 32, 32, 3), "width": 128, "height": 64}, "of another shape"),
    "loop of one frame": (
        "SoraSeamlessLoop", {"latent": {"samples": torch.zeros(1, 16, 1, 4, 4)}}, "a still image"),
    "different sizes": (
        "SoraJoinVideos", {"first": torch.rand(5, 32, 32, 3), "second": torch.rand(5, 32, 48, 3)},
        "the videos are 32x32 and 48x32"),
    "overlap too long": (
        "SoraJoinVideos", {"first": torch.rand(5, 8, 8, 3), "second": torch.rand(5, 8, 8, 3), "overlap": 1.0},
        "overlap is 1 s, 8 frames, but the video has 5 at 8 fps: give at most 0.625 s"),
    "line of a timeline": (
        "SoraPromptTimeline", {"timeline": "a red ball"}, "line 1 is"),
    "prompt after the end": (
        "SoraPromptTimeline", {"timeline": "[0-5s] a\n[5-6s] b"}, "begins at 5 s but the video lasts"),
    "loop of one frame, decoded": (
        "SoraDecodeLoop", {"latent": {"samples": torch.zeros(1, 16, 1, 4, 4)}, "fps": 8.0}, "a still image"),
    "loop of another model's latent": (
        "SoraSeamlessLoop", {"latent": {"samples": torch.ones(1, 4, 3, 4, 4)}},
        "use the VAE that belongs to the model"),
    "loop of an image": (
        "SoraSeamlessLoop", {"latent": {"samples": torch.zeros(1, 16, 4, 4)}}, "set seconds above 0"),
    "keyframe before the start": (
        "SoraPlaceFrames", {"frames": torch.rand(1, 32, 32, 3), "at": -9.0}, "the time -9 s is outside the video"),
    "keyframe of another model": (
        "SoraPlaceFrames", {"latent": {"samples": torch.zeros(1, 4, 3, 4, 4)}, "frames": torch.rand(1, 32, 32, 3)},
        "use the VAE that belongs to the model"),
    "edit of another model's latent": (
        "SoraEditVideo", {"video": {"samples": torch.zeros(1, 4, 3, 4, 4)}}, "use the VAE that belongs to the model"),
    "flow edit of another model's latent": (
        "SoraFlowEdit", {"latent": {"samples": torch.zeros(1, 4, 3, 4, 4)}}, "use the VAE that belongs to the model"),
    "edit of nothing": ("SoraEditVideo", {"video": {"samples": torch.zeros(1, 16, 3, 4, 4)}}, "this latent is empty"),
    "extension of nothing": (
        "SoraExtendVideo", {"video": {"samples": torch.zeros(1, 16, 3, 4, 4)}}, "this latent is empty"),
    "flow edit of nothing": (
        "SoraFlowEdit", {"latent": {"samples": torch.zeros(1, 16, 3, 4, 4)}}, "this latent is empty"),
    "connection of different sizes": (
        "SoraConnectVideos", {"first": torch.rand(17, 32, 32, 3), "second": torch.rand(17, 48, 32, 3)},
        "the videos are 32x32 and 32x48"),
    "connection with too long a context": (
        "SoraConnectVideos",
        {"first": torch.rand(9, 32, 32, 3), "second": torch.rand(17, 32, 32, 3), "context": 3.0, "mode": "bridge"},
        "context is 3 s, 24 frames, but the video has 9 at 8 fps: give at most 1.125 s"),
    "blend of too short videos": (
        "SoraConnectVideos", {"first": torch.rand(9, 32, 32, 3), "second": torch.rand(9, 32, 32, 3)},
        "use a video of at least"),
    "sampling of another model's latent": (
        "SoraSampler", {"latent": {"samples": torch.ones(1, 4, 3, 4, 4)}},
        "latent has 4 channels and this model's have 16: use the VAE that belongs to the model"),
    "long sampling of another model's latent": (
        "SoraLongVideoSampler", {"latent": {"samples": torch.ones(1, 4, 3, 4, 4)}},
        "latent has 4 channels and this model's have 16: use the VAE that belongs to the model"),
    "other model's latent": (
        "SoraFitModel", {"latent": {"samples": torch.zeros(1, 4, 3, 4, 4)}}, "use the VAE that belongs to the model"),
}  # fmt: skip


def copied(part):
    if isinstance(part, torch.Tensor):
        return part.clone()
    return dict(part) if isinstance(part, dict) else part


def frozen(inputs):
    """A copy of everything in a call that an edit could change: latents, frames, and what is set on a model."""
    copies = {}
    for name, value in inputs.items():
        if isinstance(value, dict):
            copies[name] = {key: copied(part) for key, part in value.items()}
        elif isinstance(value, torch.Tensor):
            copies[name] = value.clone()
        elif hasattr(value, "model_options"):
            copies[name] = (dict(value.model_options), dict(value.object_patches))
    return copies


def unchanged(inputs, before):
    now = frozen(inputs)
    assert set(now) == set(before)
    for name, value in now.items():
        if isinstance(value, dict):
            assert list(value) == list(before[name])
            parts = [(value[key], before[name][key]) for key in value]
        else:
            parts = [(value, before[name])]
        for part, old in parts:
            assert torch.equal(part, old) if isinstance(part, torch.Tensor) else part == old, name


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_gets_one_sentence_and_changes_nothing(run, nano, prompts, even_grid, case):
    block, inputs, message = REFUSED[case]
    known = {
        "model": nano[0], "clip": nano[1], "vae": nano[2], "latent": even_grid, "positive": prompts[0],
        "negative": prompts[1], "source": prompts[0], "positive_first": prompts[0], "positive_second": prompts[0],
    }  # fmt: skip
    import nodes

    wanted = nodes.NODE_CLASS_MAPPINGS[block].INPUT_TYPES()["required"]
    given = {key: value for key, value in known.items() if key in wanted} | inputs
    before = frozen(given)
    with pytest.raises(ValueError, match=message) as caught:
        run(block, **given)
    assert "\n" not in str(caught.value)
    unchanged(given, before)


def test_videos_of_different_rates_get_one_sentence(run, nano, prompts, video):
    other = run("CreateVideo", images=video.get_components().images, fps=24.0)[0]
    both = {"positive_first": prompts[0], "positive_second": prompts[0]}
    with pytest.raises(ValueError, match="run at 8 and 24 fps"):
        run("SoraConnectVideos", vae=nano[2], first=video, second=other, **both)
    with pytest.raises(ValueError, match="run at 8 and 24 fps"):
        run("SoraJoinVideos", first=video, second=other)
    joined, frames = run("SoraJoinVideos", first=video, second=other, fps=12.0)
    assert joined.get_components().frame_rate == 12
    assert len(frames) == round(17 * 12 / 8) + round(17 * 12 / 24)
    _, frames = run("SoraJoinVideos", first=video, second=other.get_components().images)
    assert len(frames) == 34


NESTED = {
    "SoraSeamlessLoop": ("latent", ("model",)),
    "SoraPlaceFrames": ("latent", ("vae", "frames")),
    "SoraFitModel": ("latent", ("model", "positive", "negative")),
    "SoraFlowEdit": ("latent", ("model", "source", "positive", "negative")),
    "SoraPromptTimeline": ("latent", ("clip", "vae")),
    "SoraDecodeLoop": ("latent", ("vae", "fps")),
    "SoraDecodeVideo": ("latent", ("vae", "fps")),
    "SoraSampler": ("latent", ("model", "positive", "negative")),
    "SoraLongVideoSampler": ("latent", ("model", "vae", "positive", "negative")),
    "SoraExtendVideo": ("video", ("vae",)),
    "SoraEditVideo": ("video", ("model", "vae")),
}
"""Blocks that take a LATENT: the input that it enters, and what else they need."""


@pytest.mark.parametrize("block", NESTED)
def test_latents_of_several_streams_are_refused(run, nano, prompts, block):
    from comfy.nested_tensor import NestedTensor

    known = {
        "model": nano[0], "clip": nano[1], "vae": nano[2], "positive": prompts[0], "negative": prompts[1],
        "source": prompts[0], "frames": torch.rand(1, 32, 32, 3), "fps": 8.0,
    }  # fmt: skip
    where, needed = NESTED[block]
    both = {"samples": NestedTensor((torch.zeros(1, 16, 3, 4, 4), torch.zeros(1, 8, 20)))}
    given = {name: known[name] for name in needed}
    before = frozen(given)
    with pytest.raises(ValueError, match="holds several streams") as caught:
        run(block, **{where: both}, **given)
    assert "\n" not in str(caught.value)
    unchanged(given, before)


EDITS = {
    "frames in place": ("SoraPlaceFrames", "euler"),
    "a continuation": ("SoraExtendVideo", "dpmpp_2m"),
    "a loop": ("SoraSeamlessLoop", "euler"),
    "an edit": ("SoraEditVideo", "euler"),
    "a connection": ("SoraConnectVideos", "euler"),
    "resampling": ("SoraPlaceFrames", "resample"),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_interrupt_stops_an_edit_within_a_step(comfy, run, nano, prompts, even_grid, stock_sample, case):
    from comfy.model_management import InterruptProcessingException

    block, sampler = EDITS[case]
    clip = torch.rand(17, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    inputs = {"vae": nano[2], "model": nano[0], "latent": even_grid}
    inputs |= dict.fromkeys(("frames", "video", "first", "second"), clip)
    inputs |= dict.fromkeys(("positive_first", "positive_second"), prompts[0])
    wanted = comfy.NODE_CLASS_MAPPINGS[block].INPUT_TYPES()["required"]
    made = run(block, **{name: value for name, value in inputs.items() if name in wanted})
    latent = next(part for part in made if isinstance(part, dict))
    model = made[0] if hasattr(made[0], "model_options") else nano[0]
    model, positive, negative, latent = run(
        "SoraFitModel", model=model, latent=latent, negative=prompts[1],
        positive=next((part for part in made if isinstance(part, list)), prompts[0]),
    )  # fmt: skip
    seen, model = [], model.clone()

    def stop(args):
        seen.append(args["sigma"])
        comfy.interrupt_processing()
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(stop)
    sampler = run("SoraResampleSampler", repeats=4)[0] if sampler == "resample" else sampler
    with pytest.raises(InterruptProcessingException):
        stock_sample(model, positive, negative, latent, steps=20, sampler=sampler)
    assert len(seen) == 1


def test_a_loop_of_one_frame_leaves_no_file_behind(run, nano, comfy):
    from pathlib import Path

    import folder_paths

    folder = Path(folder_paths.get_output_directory()) / "sora_unfinished"
    before = set(folder.glob("*.latent"))
    with pytest.raises(ValueError, match="a still image"):
        run("SoraDecodeLoop", vae=nano[2], latent={"samples": torch.full((1, 16, 1, 4, 4), 0.37)}, fps=8.0)
    assert set(folder.glob("*.latent")) == before


def test_a_vae_for_images_is_refused(run, even_grid):
    import comfy.sd

    vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    with pytest.raises(ValueError, match="only knows images"):
        run("SoraPlaceFrames", vae=vae, latent=even_grid, frames=torch.rand(1, 32, 32, 3))
