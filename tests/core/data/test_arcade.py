"""The games follow their rules on every frame, can be read back from pixels, and captions call them by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sora_core.data.worlds import arcade, bricks, runner
from sora_core.data.worlds.arcade import BACKDROPS, ArcadeAttributes
from sora_core.data.worlds.arcade_captions import compose
from sora_core.data.worlds.lexicon import LANGUAGES

SIZES = [(64, 64), (64, 144), (112, 64)]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _played(game: str, seed: int = 0, height: int = 64, width: int = 64, frames: int = 33, colour: str = "pink"):
    attributes = ArcadeAttributes(game=game, colour=colour, backdrop=tuple(BACKDROPS)[seed % 3])
    scene = arcade.sample_scene(_generator(seed), attributes)
    return scene, arcade.render(scene, frames, height, width, 8)


def test_same_seed_plays_the_same():
    first, again = (arcade.render(arcade.sample_scene(_generator(5)), 4, 24, 40, 8) for _ in range(2))
    assert torch.equal(first.frames, again.frames)
    other = arcade.render(arcade.sample_scene(_generator(6)), 4, 24, 40, 8)
    assert not torch.equal(first.frames, other.frames)


@pytest.mark.parametrize("game", arcade.GAMES)
def test_a_clip_is_its_frames(game):
    scene, clip = _played(game, frames=9)
    later = arcade.render(scene, 2, 64, 64, 8, start=0.5)
    assert torch.equal(clip.frames[4:6], later.frames)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("game", "rules"), [("bricks", bricks.rules), ("runner", runner.rules)])
def test_rules_hold_in_truth_and_in_pixels(game, rules, height, width):
    for seed in range(4):
        scene, clip = _played(game, seed, height, width)
        if game == "bricks":
            seen = bricks.read(clip.frames, BACKDROPS[scene.attributes.backdrop])
        else:
            seen = runner.read(clip.frames, scene.colour)
        for name, holds in rules(clip.truth, 8).items():
            assert holds.all(), (seed, name)
        for name, holds in rules(seen, 8).items():
            assert holds.float().mean() >= 0.95, (seed, name)


def test_bricks_are_read_where_they_are():
    _, clip = _played("bricks", 3)
    seen = bricks.read(clip.frames, BACKDROPS[clip.attributes.backdrop])
    assert (seen.ball - clip.truth.ball).abs().max() < 0.06
    assert (seen.paddle - clip.truth.paddle).abs().max() < 0.06
    assert (seen.bricks == clip.truth.bricks).float().mean() > 0.98
    assert clip.truth.bricks[-1].sum() < clip.truth.bricks[0].sum()


def test_the_runner_is_read_where_it_is():
    scene, clip = _played("runner", 1)
    seen = runner.read(clip.frames, scene.colour)
    assert (seen.height - clip.truth.height).abs().max() < 0.06
    assert clip.truth.height.max() > 0.4
    assert clip.truth.height.min() == 0


def test_broken_games_break_rules():
    truth = _played("bricks", 2)[1].truth
    assert not bricks.rules(replace(truth, bricks=truth.bricks.flip(0)), 8)["gone stays gone"].all()
    assert not bricks.rules(replace(truth, ball=truth.ball[torch.arange(33) * 7 % 33]), 8)["steady"].all()
    assert not bricks.rules(replace(truth, paddle=truth.paddle + 1.5), 8)["returned"].all()
    assert not bricks.rules(replace(truth, ball=truth.ball * torch.nan), 8)["in play"].any()
    truth = _played("runner", 2, frames=65)[1].truth
    assert not runner.rules(replace(truth, height=torch.zeros(65)), 8)["no walking on air"].all()
    shuffled = replace(truth, height=truth.height[torch.randperm(65, generator=_generator(0))])
    assert not runner.rules(shuffled, 8)["falls"].all()
    assert not runner.rules(replace(truth, height=truth.height - 0.3), 8)["above ground"].all()


def test_the_hero_never_touches_an_obstacle():
    for seed in range(6):
        truth = _played("runner", seed, frames=97)[1].truth
        over = truth.obstacle.abs() < 0.11 + runner.HERO_WIDTH / 2
        assert over.any()
        assert truth.height[over & ~truth.gap].min() > 0.24
        assert truth.height[(truth.obstacle.abs() < 0.1) & truth.gap].min() > 0.3


def test_odd_sizes_come_out_exactly_and_bad_ones_are_refused():
    for game in arcade.GAMES:
        assert _played(game, height=47, width=65, frames=2)[1].frames.shape == (2, 47, 65, 3)
    with pytest.raises(ValueError, match="0 frames"):
        _played("bricks", frames=0)


@pytest.mark.parametrize("style", ["short", "descriptive"])
@pytest.mark.parametrize("game", arcade.GAMES)
def test_captions_begin_with_the_game(game, style):
    attributes = ArcadeAttributes(game=game, colour="orange", backdrop="sky")
    assert ArcadeAttributes.from_indices(attributes.indices()) == attributes
    for language in LANGUAGES:
        said = [compose(attributes, _generator(seed), language, style) for seed in range(30)]
        assert len({caption.text for caption in said}) > 8
        for caption in said:
            assert "{" not in caption.text
            assert not caption.text.endswith(("..", "。。"))
            assert "game" in caption.mentioned
            assert language == "zh" or caption.text.lower().startswith("a game of ")
            assert language == "en" or "游戏" in caption.text.split("，")[0].split("：")[0]
        if style == "descriptive":
            assert all({"colour", "backdrop"} <= caption.mentioned for caption in said)
