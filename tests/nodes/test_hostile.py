"""Hostile inputs to blocks, one line of a table each: one sentence, or a whole result; the next job runs as ever."""

import math

import pytest
import torch


def latent(*shape, **options):
    return {"samples": torch.zeros(*shape, **options)}


def spoiled(value):
    samples = torch.zeros(1, 16, 2, 4, 4)
    samples[0, 3, 1, 2, 2] = value
    return {"samples": samples}


REFUSED = {
    "latent with NaN": ({"latent": spoiled(math.nan)}, "holds NaN or infinite numbers"),
    "latent with infinity": ({"latent": spoiled(-math.inf)}, "holds NaN or infinite numbers"),
    "latent without frames": ({"latent": latent(1, 16, 0, 4, 4)}, r"this latent is \(1, 16, 0, 4, 4\)"),
    "latent without videos": ({"latent": latent(0, 16, 2, 4, 4)}, r"this latent is \(0, 16, 2, 4, 4\)"),
    "latent without height": ({"latent": latent(1, 16, 2, 0, 4)}, r"this latent is \(1, 16, 2, 0, 4\)"),
    "latent of one line": ({"latent": latent(16)}, r"this latent is \(16,\)"),
    "latent of six dimensions": ({"latent": latent(1, 1, 16, 2, 4, 4)}, "it must be .batch, channels, frames"),
    "another model's latent": ({"latent": {"samples": torch.ones(1, 4, 2, 4, 4)}}, "4 channels"),
    "guidance that is no number": ({"guidance": math.nan}, "guidance is nan; it must be a finite number"),
    "endless guidance": ({"guidance": math.inf}, "guidance is inf"),
    "another encoder's words": ({"positive": [[torch.ones(1, 3, 7), {}]]}, "7 numbers wide and this Sora model reads"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_sampler_refuses_in_one_sentence(sample, case):
    changes, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence) as caught:
        sample(**{"latent": latent(1, 16, 1, 4, 4), "steps": 1} | changes)
    assert "\n" not in str(caught.value)


WHOLE = {
    "half precision": {"latent": latent(1, 16, 2, 4, 4, dtype=torch.float16)},
    "double precision": {"latent": latent(1, 16, 2, 4, 4, dtype=torch.float64)},
    "not contiguous": {"latent": {"samples": torch.zeros(1, 16, 4, 4, 2).movedim(-1, 2)}},
    "one cell": {"latent": latent(1, 16, 1, 1, 1)},
    "empty latent of an image model": {"latent": latent(1, 4, 4, 4)},
    "empty latent of another video model": {"latent": latent(1, 48, 2, 4, 4)},
    "mask of another size": {"latent": {**latent(1, 16, 2, 4, 4), "noise_mask": torch.ones(1, 1, 1, 9, 7)}},
    "mask of one picture": {"latent": {**latent(1, 16, 2, 4, 4), "noise_mask": torch.ones(8, 8)}},
    "mask of nothing to do": {"latent": {**latent(1, 16, 2, 4, 4), "noise_mask": torch.zeros(1, 1, 2, 4, 4)}},
    "the largest seed": {"seed": 2**64 - 1},
    "no guidance": {"guidance": 1.0},
    "guidance nowhere": {"guidance_from": 0.1, "guidance_to": 0.9},
    "words that say nothing": {"positive": [[torch.zeros(1, 3, 64), {}]]},
}


@pytest.mark.parametrize("case", WHOLE)
def test_the_sampler_makes_a_whole_latent_of(sample, case):
    found = sample(**{"latent": latent(1, 16, 1, 4, 4), "steps": 1} | WHOLE[case])
    assert found.ndim == 5
    assert found.shape[:2] == (1, 16)
    assert torch.isfinite(found).all()


BROKEN_VIDEOS = {
    "NaN": (spoiled(math.nan), {}, "holds NaN or infinite numbers"),
    "nothing": (latent(1, 16, 0, 4, 4), {}, r"this latent is \(1, 16, 0, 4, 4\)"),
    "another index": (latent(1, 16, 1, 4, 4), {"batch_index": 3}, "batch_index is 3 and the latent holds 1"),
    "frames that are no number": (latent(1, 16, 1, 4, 4), {"fps": math.nan}, "fps is nan; it must be between"),
    "another model's channels": (latent(1, 4, 1, 4, 4), {}, "has 4 channels; this VAE decodes 16"),
    "a codec without that format": (
        latent(1, 16, 1, 4, 4),
        {"codec": "vp9", "pixel_format": "yuv420p10le"},
        "not written",
    ),
    "a quality beyond the codec's": (latent(1, 16, 1, 4, 4), {"crf": 60}, r"crf is 60; h264 takes 0 \(best\) to 51"),
}


@pytest.mark.parametrize("case", BROKEN_VIDEOS)
def test_the_decoder_refuses_in_one_sentence_and_writes_nothing(run, nano, case):
    import folder_paths

    def files():
        from pathlib import Path

        return set(Path(folder_paths.get_temp_directory()).glob("**/*"))

    broken, options, sentence = BROKEN_VIDEOS[case]
    before = files()
    with pytest.raises(ValueError, match=sentence) as caught:
        run("SoraDecodeVideo", vae=nano[2], latent=broken, **{"fps": 8.0} | options)
    assert "\n" not in str(caught.value)
    assert files() == before


def test_after_all_of_that_the_same_seed_is_the_same_video(sample, nano):
    before = sample(steps=2)
    for changes, _ in REFUSED.values():
        with pytest.raises(ValueError):  # noqa: PT011
            sample(**{"latent": latent(1, 16, 1, 4, 4), "steps": 1} | changes)
    assert torch.equal(sample(steps=2), before)


UNKNOWN_CHOICES = {
    "SoraLoadModel": {"dtype": "bf16"},
    "SoraNoiseGrid": {"aspect": "16/9"},
    "SoraExtendVideo": {"direction": "backwards", "video": torch.rand(5, 16, 16, 3)},
    "SoraJoinVideos": {"shared": "fade"},
    "SoraConnectVideos": {"mode": "Bridge"},
    "SoraFitModel": {"border": "smooth", "latent": latent(1, 16, 2, 4, 4)},
    "SoraDescribeVideo": {"language": "en"},
    "SoraExpandPrompt": {"language": None},
    "SoraWorldClips": {"world": "sandbox"},
}


@pytest.mark.parametrize("block", UNKNOWN_CHOICES)
def test_what_is_no_choice_is_refused(comfy, run, nano, block):
    """ComfyUI 0.3.75 does not look at the choices of API prompts, and no version at those that other blocks give."""
    networks = {"model": nano[0], "vae": nano[2]}
    required = comfy.NODE_CLASS_MAPPINGS[block].INPUT_TYPES()["required"]
    name, value = next(iter(UNKNOWN_CHOICES[block].items()))
    with pytest.raises(ValueError, match=f"^{name} is {value!r}; choose "):
        run(block, **UNKNOWN_CHOICES[block], **{key: networks[key] for key in networks if key in required})


def test_samplers_that_are_not_offered_are_refused(sample):
    for name in ("Euler", "dpm_adaptive"):  # the second leaves noise in the video
        with pytest.raises(ValueError, match=f"^sampler is '{name}'; choose .*euler"):
            sample(sampler=name, steps=1)
