"""Parts of a clip make the whole, and what is known of it fits its frames."""

from __future__ import annotations

import pytest
import torch

from sora_core.data.worlds import filming
from sora_core.data.worlds.catalogue import WORLDS
from sora_core.data.worlds.filming import Part, film, scene_for
from sora_core.data.worlds.painter import PainterAttributes
from sora_core.randomness import generator


def scene(world: str, **asked):
    return scene_for(world, generator(3, world), **{"seconds": 1.0} | asked)


def whole(parts) -> Part:
    return Part(*map(torch.cat, zip(*parts, strict=True)))


@pytest.mark.parametrize("world", WORLDS)
def test_parts_make_the_whole(world, monkeypatch):
    at_once = whole(film(scene(world), 8, 24, 32, 8))
    monkeypatch.setattr(filming, "AT_ONCE", 3 * 24 * 32)
    parts = list(film(scene(world), 8, 24, 32, 8))
    assert [len(part.frames) for part in parts] == [3, 3, 2]
    together = whole(parts)
    # Vector and scalar code paths of the processor may round the last bit differently.
    assert (together.frames.int() - at_once.frames.int()).abs().max() <= 1
    assert torch.equal(together.mask, at_once.mask)
    assert torch.allclose(together.nearness, at_once.nearness, atol=1e-4)


def test_toys_are_masked_and_nearer_than_the_sky():
    clip = whole(film(scene("sandbox"), 4, 32, 32, 8))
    assert 0.02 < clip.mask.mean() < 0.6
    assert clip.nearness[clip.mask == 1].min() > 0
    assert torch.isfinite(clip.nearness).all()


def test_paint_is_masked_and_flat():
    clip = whole(film(scene("painter"), 8, 32, 32, 8))
    assert clip.mask[-1].sum() > clip.mask[0].sum()
    assert clip.nearness.count_nonzero() == 0


def test_paint_under_the_brush_is_not_masked():
    sheet = PainterAttributes(activity="paint", colour="blue", stroke="line", surface="white")
    asked = scene("painter", attributes=sheet)
    clip = whole(film(asked, 8, 48, 48, 8))
    off = (clip.frames / 255 - torch.tensor(asked.colour)).abs().amax(-1)
    assert off[clip.mask == 1].max() < 0.3


def test_games_have_neither_mask_nor_depth():
    clip = whole(film(scene("arcade"), 2, 32, 32, 8))
    assert clip.mask.count_nonzero() == clip.nearness.count_nonzero() == 0


@pytest.mark.parametrize("world", ["painter", "arcade"])
def test_flat_worlds_have_no_loops(world):
    with pytest.raises(ValueError, match="only toys have loops"):
        scene(world, loop=True)
