"""The captioner tells what clips show, in words that the lexicon has, and refuses what it cannot do."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from sora_core.data.worlds.captions import STILL, compose
from sora_core.data.worlds.scene import sample_attributes
from sora_core.evaluation.captions import CaptionScore, caption_score
from sora_core.evaluation.evaluate import USUAL
from sora_core.evaluation.fidelity import rendered
from sora_core.evaluation.judge import BUNDLED as JUDGE
from sora_core.evaluation.judge import Judge
from sora_core.evaluation.prompts import described
from sora_core.text.captioner import (
    MOST_WORDS,
    Captioner,
    CaptionerConfig,
    describe,
    glimpses,
    load_captioner,
    save_captioner,
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
    video = _video(2, 3, 5, 64, 64)
    first, again, other = (
        describe(untrained, video, 4.0, temperature=1.0, draws=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_wishes_that_cannot_be_met_are_refused(untrained):
    video = _video(1, 3, 1, 64, 64)
    with pytest.raises(ValueError, match="language is 'fr'"):
        describe(untrained, video, 4.0, "fr")
    with pytest.raises(ValueError, match="temperature is -1"):
        describe(untrained, video, 4.0, temperature=-1.0)
    with pytest.raises(ValueError, match="generator to draw with"):
        describe(untrained, video, 4.0, temperature=0.5)


@pytest.mark.parametrize("chunk", [1, 3, 7, 25])
def test_glimpses_are_the_same_in_chunks_of_any_length(chunk):
    frames = (_video(25, 96, 64, 3) * 255).byte()
    whole, fps = glimpses(iter([frames]), 12.0)
    parts, _ = glimpses(frames.split(chunk), 12.0)
    assert torch.equal(whole, parts)
    assert whole.shape == (1, 3, 9, 96, 64)
    assert fps == 4.0


def test_saved_captioners_come_back(untrained, tmp_path):
    path = tmp_path / "captioner.safetensors"
    save_captioner(path, untrained, {"steps": 1})
    again = load_captioner(path)
    assert again.config == untrained.config
    assert torch.allclose(again.exit.weight, untrained.exit.weight, atol=1e-3)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="sora train captioner"):
        load_captioner(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="holds no captioner"):
        load_captioner(JUDGE)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged"):
        load_captioner(broken)
    save_file({"a": torch.zeros(1)}, broken, {"captioner": '{"words": ["a"], "width": 64, "depth": 1, "heads": 1}'})
    with pytest.raises(ValueError, match="of another version"):
        load_captioner(broken)


def test_captions_are_scored_by_what_they_name(draws):
    (sheet,) = (p.attributes for p in described(1, held_out=False))
    perfect = compose(sheet, draws, "en", "descriptive").text
    assert caption_score([perfect], [sheet]).recall == caption_score([perfect], [sheet]).precision == 1.0
    wrong = "a pink duck" if (sheet.subject, sheet.colour) != ("duck", "pink") else "a red cone"
    assert caption_score([wrong], [sheet]).right < 2
    assert caption_score([""], [sheet]) == CaptionScore(right=0, told=0, shown=caption_score([""], [sheet]).shown)
    assert caption_score(["nothing"], [sheet]).precision == 0.0
