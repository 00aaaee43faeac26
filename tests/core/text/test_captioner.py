"""The captioner tells what clips show, in words that the lexicon has, and refuses what it cannot do."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from sora_core.data.worlds.attributes import Attributes
from sora_core.data.worlds.captions import STILL, compose
from sora_core.data.worlds.scene import sample_attributes
from sora_core.evaluation.captions import CaptionScore, caption_score
from sora_core.evaluation.evaluate import USUAL
from sora_core.evaluation.fidelity import rendered
from sora_core.evaluation.judge import BUNDLED as JUDGE
from sora_core.evaluation.judge import Judge, windows
from sora_core.evaluation.prompts import described
from sora_core.text.captioner import (
    MOST_WORDS,
    Captioner,
    CaptionerConfig,
    describe,
    glimpses,
    load_captioner,
    save_captioner,
    tell,
    text_of,
    vocabulary,
    words_of,
)


@pytest.fixture(scope="module")
def untrained() -> Captioner:
    captioner = Captioner(CaptionerConfig(words=vocabulary(), width=64, depth=1, heads=1))
    eyes = Judge()
    eyes.initialise(torch.Generator().manual_seed(0))
    captioner.initialise(torch.Generator().manual_seed(1), eyes)
    return captioner.eval()


@pytest.fixture(scope="module")
def shipped() -> Captioner:
    return load_captioner()


def _video(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_caption_is_in_the_vocabulary_and_comes_back(language, draws):
    known = set(vocabulary())
    for style in ("descriptive", STILL) * 100:
        text = compose(sample_attributes(draws, held_out=False), draws, language, style).text
        words = words_of(text)
        assert known.issuperset(words), set(words) - known
        assert len(words) < MOST_WORDS
        assert text_of(words, language).lower() == text.lower()


def test_stills_are_told_without_motion(draws):
    for language in ("en", "zh"):
        said = compose(sample_attributes(draws, held_out=False), draws, language, STILL)
        assert {"subject", "colour", "environment", "time"} <= said.mentioned
        assert not said.mentioned & {"motion", "camera"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_shipped_captioner_tells_what_rendered_clips_show(shipped, language):
    prompts = described(12, held_out=True)
    clips = list(rendered(prompts, USUAL))
    for still in (False, True):
        texts = [describe(shipped, clip[:, :, :1] if still else clip, USUAL.fps, language)[0] for clip in clips]
        score = caption_score(texts, [prompt.attributes for prompt in prompts], still=still)
        assert score.recall >= 0.9
        assert score.precision >= 0.9


def test_captions_do_not_depend_on_the_batch(shipped):
    clips = torch.cat(list(rendered(described(3, held_out=False), USUAL)))
    together = describe(shipped, clips, USUAL.fps)
    assert together == [describe(shipped, clip[None], USUAL.fps)[0] for clip in clips]


def test_a_seed_decides_what_is_drawn(untrained):
    look = untrained.look([_video(2, 3, 5, 64, 64)])
    first, again, other = (
        tell(untrained, look, temperature=1.0, draws=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_hardly_any_temperature_says_the_likeliest(shipped):
    look = shipped.look(windows(next(iter(rendered(described(1, held_out=False), USUAL))), USUAL.fps))
    draws = torch.Generator().manual_seed(0)
    for temperature in (1e-300, 1e-45):
        assert tell(shipped, look, temperature=temperature, draws=draws) == tell(shipped, look)


def test_wishes_that_cannot_be_met_are_refused(untrained):
    look = untrained.look([_video(1, 3, 1, 64, 64)])
    with pytest.raises(ValueError, match="language is 'fr'"):
        tell(untrained, look, "fr")
    for temperature in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"temperature is {temperature}; it must be 0 or above"):
            tell(untrained, look, temperature=temperature)
    with pytest.raises(ValueError, match="no frames"):
        untrained.look([])


@pytest.mark.parametrize("frames", [1, 25, 73, 80, 150, 151])
def test_glimpses_are_the_windows_of_the_whole(frames):
    video = (_video(frames, 24, 16, 3) * 255).byte()
    whole = windows(video.movedim(-1, 0)[None].float() / 255, 12.0)
    for chunk in (1, 7, frames):
        parts = list(glimpses(video.split(chunk), 12.0))
        assert len(parts) == len(whole)
        assert all(torch.equal(part, window) for part, window in zip(parts, whole, strict=True))


def test_one_look_makes_a_still(untrained):
    assert untrained.look(windows(_video(1, 3, 10, 64, 64), 60.0)).still
    assert not untrained.look(windows(_video(1, 3, 20, 64, 64), 60.0)).still


def test_saved_captioners_come_back(untrained, tmp_path):
    path = tmp_path / "captioner.safetensors"
    save_captioner(path, untrained, {"steps": 1})
    again = load_captioner(path)
    assert again.config == untrained.config
    assert torch.allclose(again.exit.weight, untrained.exit.weight, atol=1e-3)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_frames_without_numbers_are_refused(untrained, number):
    frames = _video(4, 16, 16, 3)
    frames[2, 5, 5, 0] = number
    with pytest.raises(ValueError, match="frames hold NaN or infinite pixels"):
        untrained.look(glimpses([frames], 8.0))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="sora train captioner"):
        load_captioner(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="holds no captioner"):
        load_captioner(JUDGE)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged"):
        load_captioner(broken)
    for header in (
        '{"words": ["a"], "width": 64, "depth": 1, "heads": 1}', '{"width": 64}', '{"words": [], "colour": 1}', "{",
    ):  # fmt: skip
        save_file({"a": torch.zeros(1)}, broken, {"captioner": header})
        with pytest.raises(ValueError, match="of another version"):
            load_captioner(broken)


def test_captions_are_scored_by_what_they_name(draws):
    sheet = Attributes(subject="duck", colour="red", environment="sea", time="day", motion="left", camera="static")
    perfect = compose(sheet, draws, "en", "descriptive").text
    assert caption_score([perfect], [sheet]) == CaptionScore(right=6, told=6, shown=6)
    score = caption_score(["a red cone", ""], [sheet, sheet])
    assert score == CaptionScore(right=1, told=2, shown=12)
    assert score.recall == 1 / 12
    assert score.precision == 0.5
    assert caption_score(["a red duck"], [sheet], still=True) == CaptionScore(right=2, told=2, shown=4)
    assert caption_score([""], [sheet]).precision == 0.0
