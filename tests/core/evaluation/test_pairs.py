"""A second toy is counted by the sides of a frame on which its colour is."""

import torch

from sora_core.evaluation.evaluate import PARTS
from sora_core.evaluation.fidelity import SamplerSettings
from sora_core.evaluation.pairs import beside_another, pair_report, sides_of
from sora_core.evaluation.summary import table
from sora_core.text.recognise import recognise


def test_a_colour_is_on_the_sides_where_enough_of_it_is():
    frame = torch.full((3, 64, 64), 0.5)
    assert sides_of(frame, "blue") == set()
    blue = torch.tensor([0.1, 0.2, 0.95])[:, None, None]
    frame[:, 40:44, 4:8] = blue
    assert sides_of(frame, "blue") == {"left"}
    assert sides_of(frame, "cyan") == set()
    frame[:, 40:44, 56:60] = blue
    assert sides_of(frame, "blue") == {"left", "right"}
    frame[:, 40:44, :20] = 0.5
    assert sides_of(frame, "blue") == {"right"}
    frame[:, 40:44, 56:59] = 0.5  # four pixels are no toy
    assert sides_of(frame, "blue") == set()


def test_prompts_name_the_side_and_rendered_stills_keep_to_it(nano):
    read = [(recognise(p.text).get("second_side"), p.attributes.second_side) for p in beside_another(6)]
    assert sum(found == side for found, side in read) >= 4  # some words are too far apart to be read
    assert all(found in (None, side) for found, side in read)
    report = pair_report(nano, 6, SamplerSettings(steps=1))
    assert report["one side"]["rendered"] > 0.8
    assert report["both sides"]["rendered"] < 0.2
    assert report["as asked"]["rendered"] == 1
    assert "pairs" in PARTS
    assert any(line.startswith("pairs, both sides: ") for line in table({"pairs": report, "summary": []}).splitlines())
