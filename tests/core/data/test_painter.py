"""In the painter world paint stays, bites stay, the same seed paints the same, and captions name what happens."""

from __future__ import annotations

import pytest
import torch

from sora_core.data.worlds import painter
from sora_core.data.worlds.lexicon import LANGUAGES
from sora_core.data.worlds.painter import FOODS, STROKES, SURFACES, PainterAttributes
from sora_core.data.worlds.painter_captions import compose


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _paint(stroke: str = "wave", surface: str = "white", colour: str = "blue") -> PainterAttributes:
    return PainterAttributes(activity="paint", colour=colour, stroke=stroke, surface=surface)


def _eat(food: str = "cookie", colour: str = "blue") -> PainterAttributes:
    return PainterAttributes(activity="eat", colour=colour, food=food)


def _clip(attributes: PainterAttributes, seed: int = 0, height: int = 48, width: int = 48, frames: int = 13):
    return painter.render(painter.sample_scene(_generator(seed), attributes), frames, height, width, 6)


def test_same_seed_paints_the_same():
    first, again = (painter.render(painter.sample_scene(_generator(3)), 4, 24, 40, 8) for _ in range(2))
    assert torch.equal(first.frames, again.frames)
    other = painter.render(painter.sample_scene(_generator(4)), 4, 24, 40, 8)
    assert not torch.equal(first.frames, other.frames)


@pytest.mark.parametrize("attributes", [*map(_paint, STROKES), *map(_eat, FOODS)], ids=str)
def test_marks_grow_and_never_shrink(attributes):
    marked = _clip(attributes).truth.marked
    assert not (marked[:-1] & ~marked[1:]).any()
    assert marked[-1].sum() > marked[0].sum() + 0.03 * marked[0].numel()


@pytest.mark.parametrize("surface", SURFACES)
def test_paint_is_seen_where_the_truth_says(surface):
    clip = _clip(_paint("line", surface, "green"))
    red, green, blue = clip.frames.float().unbind(-1)
    seen = (green > 1.5 * red) & (green > 1.5 * blue)
    assert (seen & ~clip.truth.marked).float().mean() < 0.03  # the brush holds some paint
    assert (seen & clip.truth.marked).sum() > 0.6 * clip.truth.marked.sum()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 140), (140, 64)])
def test_persistence_holds_on_rendered_clips_and_fails_backwards(height, width):
    for seed in range(4):
        for attributes in (_paint(STROKES[seed], colour="purple"), _eat(tuple(FOODS)[seed])):
            clip = _clip(attributes, seed, height, width)
            assert painter.persistence(clip.frames, attributes).float().mean() >= 0.95
            assert not painter.persistence(clip.frames.flip(0), attributes).all()


def test_the_brush_is_where_paint_appears():
    clip = _clip(_paint("circle"), frames=9)
    for frame in range(1, 9):
        fresh = (clip.truth.marked[frame] & ~clip.truth.marked[frame - 1]).nonzero().float()
        if len(fresh):
            column, row = clip.truth.tip[frame] * 48
            assert (fresh - torch.stack([row, column])).norm(dim=1).min() < 6


def test_odd_sizes_come_out_exactly_and_bad_ones_are_refused():
    clip = _clip(_paint(), height=47, width=65, frames=2)
    assert clip.frames.shape == (2, 47, 65, 3)
    assert clip.frames.dtype == torch.uint8
    with pytest.raises(ValueError, match="0 frames"):
        _clip(_paint(), frames=0)


def test_sheets_are_checked_and_numbered():
    for attributes in (_paint(), _eat()):
        assert PainterAttributes.from_indices(attributes.indices()) == attributes
    with pytest.raises(ValueError, match="painting needs"):
        PainterAttributes(activity="paint", colour="red", food="pizza")
    with pytest.raises(ValueError, match="surface is 'sand'"):
        _paint(surface="sand")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("style", ["short", "descriptive"])
def test_captions_state_what_they_claim_and_vary(language, style):
    for attributes in (_paint(), _eat()):
        said = [compose(attributes, _generator(seed), language, style) for seed in range(30)]
        assert len({caption.text for caption in said}) > 10
        assert all("activity" in caption.mentioned and "{" not in caption.text for caption in said)
        wanted = {"colour", "stroke", "surface"} if attributes.activity == "paint" else {"colour", "food"}
        if style == "descriptive":
            assert all(wanted <= caption.mentioned for caption in said)
    with pytest.raises(ValueError, match="language"):
        compose(_paint(), _generator(0), "fr")
