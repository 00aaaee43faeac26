"""The family: every member exists with the size it is said to have, and files cannot smuggle in nonsense."""

import dataclasses
import json

import pytest
import torch

from sora_core.checkpoint import build_parts
from sora_core.config import PARAMETERS, PRESETS, DiTConfig, SoraConfig, VAEConfig, from_json, preset, to_json


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_stated_parameter_counts(name):
    parts = build_parts(preset(name), device="meta")
    counts = {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
    assert (counts["dit"], counts["vae"]) == PARAMETERS[name]
    assert all(p.is_meta for p in parts["dit"].parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_configurations_survive_json(name):
    config = preset(name)
    assert from_json(SoraConfig, to_json(config)) == config


def test_a_whole_number_is_read_where_any_number_may_be():
    assert from_json(DiTConfig, to_json(DiTConfig(guided_above=0))) == DiTConfig()


def test_the_family_has_the_widths_and_depths_of_the_design():
    sizes = {name: (preset(name).dit.width, preset(name).dit.depth) for name in PRESETS}
    assert sizes == {
        "nano": (128, 6), "mini": (256, 10), "S": (768, 16), "B": (1536, 28), "L": (2048, 32), "XL": (3072, 36),
        "XXL": (4096, 48),
    }  # fmt: skip
    cells = {(c.time, c.space) for c in (preset(name).vae.compression for name in PRESETS)}
    assert cells == {(4, 8), (4, 16), (8, 32)}


def test_a_member_with_a_larger_text_encoder_predicts():
    """Cut down to one layer, a member of a billion parameters is quick enough to be run."""
    config = preset("B")
    config = dataclasses.replace(
        config, text=dataclasses.replace(config.text, depth=1), dit=dataclasses.replace(config.dit, depth=1)
    )
    draws = torch.Generator().manual_seed(0)
    parts = build_parts(config)
    parts["dit"].initialise(draws)
    parts["text"].initialise(draws)
    states, mask = parts["text"].encode(["a red ball"])
    latent = torch.randn(1, config.dit.channels, 2, 4, 4, generator=draws)
    with torch.inference_mode():
        assert parts["dit"](latent, torch.tensor([0.5]), states, mask).shape == latent.shape


def test_an_unknown_preset_is_answered_with_the_family():
    with pytest.raises(ValueError, match="no preset 'huge'; the family is nano, mini, S, B, L, XL, XXL"):
        preset("huge")


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("dit", {"colour": 1}, "DiTConfig has no colour"),
        ("dit", {"width": "256"}, "DiTConfig.width is '256'; it must be int"),
        ("dit", {"width": True}, "DiTConfig.width is True"),
        ("dit", {"depth": 0}, "DiTConfig.depth is 0; it must be between 1 and 1,000"),
        ("dit", {"depth": 999_999}, "DiTConfig.depth is 999999"),
        ("dit", {"patch": [1, 2]}, r"DiTConfig.patch is \[1, 2\]; it must be 3 whole numbers"),
        ("dit", {"patch": [1, 0, 2]}, "DiTConfig.patch is 0; it must be between"),
        ("dit", {"heads": 3}, "width 128 is not divisible by 3 heads"),
        ("dit", {"heads": 4}, "32 dims a head; it must be 64 or 128"),
        ("dit", {"lowest_sigma": 1.5}, "lowest_sigma is 1.5; it must be above 0 and below 1"),
        ("dit", {"guided_above": 1.0}, "guided_above is 1.0; it must be at least 0 and below 1"),
        ("dit", {"channels": 8}, "16 latent channels but the transformer 8"),
        ("vae", {"encoder_depth": [-1, 2]}, "VAEConfig.encoder_depth is -1"),
        ("vae", {"wavelet": [2, 3, 3]}, "each size must be a power of two"),
        ("vae", {"wavelet": [2, 4, 8]}, "height and width must be equal"),
        ("vae", {"wavelet": [512, 512, 512]}, "at most 4,096 pixels"),
        ("text", {"width": 128}, "the text encoder is 128 numbers wide but the transformer reads 64"),
        ("text", {"heads": 5}, "text width 64 is not divisible by 5 heads"),
        ("text", {"ngrams": 1_000_000}, "64 tokens of 1000000 ngrams has too many features; at most 65,536"),
    ],
)
def test_hostile_configurations_are_refused_in_one_sentence(part, change, sentence):
    values = json.loads(to_json(preset("nano")))
    values[part] |= change
    with pytest.raises(ValueError, match=sentence):
        from_json(SoraConfig, json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", '{"dit": 3}', "{", "null", b"\xff\xfe{"])
def test_what_is_no_configuration_is_refused(text):
    with pytest.raises(ValueError, match=r"SoraConfig|DiTConfig"):
        from_json(SoraConfig, text)


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DiTConfig().width = 8  # type: ignore[misc]
    assert VAEConfig().compression.time == 4
