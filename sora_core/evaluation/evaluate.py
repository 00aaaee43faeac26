"""The evaluation report of a model: every figure beside its ceiling or its target, as JSON and as a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import BUNDLED
from ..data.worlds.lexicon import LANGUAGES
from ..files import write_json
from ..pipeline import DEFAULT_STEPS, Sora
from ..shapes import VideoShape
from ..text.captioner import describe, load_captioner
from ..text.known_words import unknown_note
from .captions import caption_score
from .denoising import denoising_loss
from .editing_bench import Bench
from .fidelity import SamplerSettings, ceiling, fidelity, generated, rendered
from .geometry import geometry_report
from .judge import BUNDLED as BUNDLED_JUDGE
from .judge import Judge, load_judge
from .metrics import roughness
from .objects import object_report
from .pairs import pair_report
from .prompts import OUTSIDE, Prompt, described, paraphrases
from .reconstruction import real_clips, reconstruction
from .rules import FLAT, world_report
from .score import Tally, scored
from .summary import summary, table
from .variety import variety_report

PARTS = ("vae", "text", "paraphrases", "aspects", "sizes", "durations", "steps", "loss", "worlds", "objects", "pairs",
         "variety", "geometry", "speed", "outside", "captions")  # fmt: skip
"""What can be measured, in the order of the report."""
SENTENCES = Path(__file__).parent
"""Folder of the held-out sentences, `paraphrases_en.txt` and `paraphrases_zh.txt`."""
USUAL = VideoShape(num_frames=17, height=64, width=64, fps=8.0, resized=True)
"""The shape of clips that are scored, where nothing else is said."""
ASPECTS = tuple((4 / 9) ** (1 - i / 7) for i in range(15))
"""Width over height, 4:9 to 9:4 in equal ratios."""
SIZES = (64, 96, 128)
"""Pixels a side of square clips; the templates make the largest."""
DURATIONS = (1, 9, 17, 25, 49)
"""Frames at 8 per second."""
STEPS = (4, 6, 8, 12, 20, 50)
RARE = 2
"""For so many clips that are asked about everything, at least one has something in front, and one has a second toy."""


def aspect_shape(aspect: float, area: int = 80 * 80) -> VideoShape:
    """A shape of nearly `area` pixels per frame and even sides."""
    width = 2 * round((area * aspect) ** 0.5 / 2)
    return replace(USUAL, height=2 * round(area / width / 2), width=width)


class Evaluation:
    """A model, its judge and the number of clips per score; one method per part of the report."""

    def __init__(self, model: Sora, judge: Judge, *, clips: int, settings: SamplerSettings, real: Path | None,
                 sentences: Path, checkpoint: Path | None = None, say: Callable[[str], None]):  # fmt: skip
        self.model, self.judge, self.clips, self.settings = model, judge, clips, settings
        self.real, self.sentences, self.checkpoint, self.say = real, sentences, checkpoint, say
        self._ceilings: dict[tuple[Any, ...], Tally] = {}

    def ceiling(self, prompts: list[Prompt], shape: VideoShape) -> Tally:
        """The judge's ceiling on the clips that `prompts` describe, measured once for all captions of them."""
        key = (shape, tuple((prompt.attributes, prompt.about) for prompt in prompts))
        if key not in self._ceilings:
            self._ceilings[key] = ceiling(self.judge, prompts, shape)
        return self._ceilings[key]

    def score(self, prompts: list[Prompt], shape: VideoShape = USUAL, steps: int | None = None) -> dict[str, Any]:
        """Text fidelity of described clips beside the ceiling."""
        settings = SamplerSettings(
            steps=steps or self.settings.steps, guidance=self.settings.guidance, sampler=self.settings.sampler
        )
        tally = fidelity(self.model, self.judge, prompts, shape, settings)
        return scored(tally, self.ceiling(prompts, shape))

    def vae(self) -> dict[str, Any]:
        """Reconstruction of held-out rendered clips and of real ones, and what the judge sees in reconstructions."""
        prompts = described(max(1, self.clips // 2), held_out=True)
        large = VideoShape(num_frames=17, height=128, width=128, fps=8.0)
        # Real ones first: a file that cannot be read ends the report before it has cost minutes.
        real = None if self.real is None else reconstruction(self.model.vae, real_clips(self.real))
        report = {"synthetic 64": reconstruction(self.model.vae, rendered(prompts, USUAL)),
                  "synthetic 128": reconstruction(self.model.vae, rendered(prompts, large))}  # fmt: skip
        if real is not None:
            report["real 256"] = real
        rebuilt = ceiling(self.judge, prompts, USUAL, self.model.vae)
        return {**report, "judged": scored(rebuilt, self.ceiling(prompts, USUAL))}

    def text(self) -> dict[str, Any]:
        """Held-out seeds and held-out combinations, in both languages and styles."""
        report = {}
        for held_out, where in ((False, "seeds"), (True, "combinations")):
            for language in ("en", "zh"):
                for style in ("short", "descriptive"):
                    prompts = described(
                        self.clips, held_out=held_out, language=language, style=style, rare=self.clips // RARE
                    )
                    report[f"{where} {language} {style}"] = self.score(prompts)
                    self.say(f"text, {where} {language} {style}: {report[f'{where} {language} {style}']['share']}")
        return report

    def paraphrases(self) -> dict[str, Any]:
        """Sentences that people wrote, against the ceiling on described clips."""
        best = self.ceiling(described(self.clips, held_out=False, rare=self.clips // RARE), USUAL)
        files = {language: self.sentences / f"paraphrases_{language}.txt" for language in ("en", "zh")}
        prompts = {language: paraphrases(path, 2 * self.clips) for language, path in files.items() if path.is_file()}
        return {
            language: scored(fidelity(self.model, self.judge, asked, USUAL, self.settings), best)
            for language, asked in prompts.items()
        }

    def aspects(self) -> dict[str, Any]:
        """The same prompts at 15 aspect ratios of equal area, every attribute asked for."""
        count = max(1, self.clips // 2)
        prompts = described(count, held_out=False, style="descriptive", rare=count // RARE)
        shapes = [aspect_shape(aspect) for aspect in ASPECTS]
        return {f"{shape.width}x{shape.height}": self.score(prompts, shape) for shape in shapes}

    def sizes(self) -> dict[str, Any]:
        """The same prompts at several sizes, every attribute asked for."""
        prompts = described(self.clips, held_out=False, style="descriptive", rare=self.clips // RARE)
        shapes = [replace(USUAL, height=side, width=side) for side in SIZES]
        return {f"{shape.width}x{shape.height}": self.score(prompts, shape) for shape in shapes}

    def durations(self) -> dict[str, Any]:
        """The same prompts from a still image to six seconds."""
        prompts = described(max(1, self.clips // 2), held_out=False, style="descriptive")
        shapes = [VideoShape(num_frames=n, height=64, width=64, fps=8.0) for n in DURATIONS]
        return {f"{shape.num_frames} frames": self.score(prompts, shape) for shape in shapes}

    def steps(self) -> dict[str, Any]:
        """The same prompts with more and fewer sampling steps."""
        prompts = described(max(1, self.clips // 2), held_out=False, style="descriptive")
        return {f"{steps} steps": self.score(prompts, steps=steps) for steps in STEPS}

    def loss(self) -> dict[str, Any]:
        """Denoising loss on clips of held-out seeds and of held-out combinations."""
        return {
            where: denoising_loss(self.model, described(self.clips, held_out=held_out, style="descriptive"), USUAL)
            for held_out, where in ((False, "seeds"), (True, "combinations"))
        }

    def worlds(self) -> dict[str, Any]:
        """Whether paint and bites stay, and whether games keep their rules."""
        return {world: world_report(self.model, world, self.clips, self.settings) for world in FLAT}

    def objects(self) -> dict[str, Any]:
        """Whether things stay what they are, also behind a wall, and how many come out of nowhere."""
        return object_report(self.model, self.judge, self.clips, self.settings)

    def pairs(self) -> dict[str, Any]:
        """Whether a second toy is there once, and on the side that was asked for."""
        return pair_report(self.model, self.clips, self.settings)

    def variety(self) -> dict[str, Any]:
        """Whether what short prompts leave open is as varied as in the clips that they could describe."""
        return variety_report(self.model, self.judge, 4 * self.clips, USUAL, self.settings)

    def geometry(self) -> dict[str, Any]:
        """Whether a still scene stays one while the camera moves about it."""
        return geometry_report(Bench(self.model, self.judge, self.clips, self.settings))

    def speed(self) -> dict[str, Any]:
        """Seconds for 25 frames of 128x128 from prompt to pixels in float32, after one warm-up of a step.

        `first_seconds` is what a user waits for the first frames of two seconds of 64x64: loading, sampling, decoding.
        """
        shape = VideoShape(num_frames=25, height=128, width=128, fps=8.0)

        def sample(model: Sora, shape: VideoShape, steps: int) -> Tensor:
            return model.sample(
                ["a red ball in the snow"], shape, [0],
                steps=steps, guidance=self.settings.guidance, sampler=self.settings.sampler,
            )  # fmt: skip

        def make(steps: int) -> None:
            for _ in self.model.decode(sample(self.model, shape, steps), shape):
                pass

        begin = time.perf_counter()
        model = Sora.load(self.checkpoint, device=self.model.device)
        next(model.decode(sample(model, USUAL, self.settings.steps), USUAL))
        first = time.perf_counter() - begin
        make(1)
        wall, cpu = time.perf_counter(), time.process_time()
        make(self.settings.steps)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"steps": self.settings.steps, "threads": torch.get_num_threads(),
                "wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2),
                "first_seconds": round(first, 2)}  # fmt: skip

    def captions(self) -> dict[str, Any]:
        """How much of rendered clips, and of their first frames, the bundled captioner tells, and how much is so."""
        captioner, report = load_captioner().to(self.model.device), {}
        for held_out, where in ((False, "seeds"), (True, "combinations")):
            prompts = described(self.clips, held_out=held_out, rare=self.clips // RARE)
            sheets = [prompt.attributes for prompt in prompts if prompt.attributes is not None]
            clips = list(rendered(prompts, USUAL))
            for language in LANGUAGES:
                for still in (False, True):
                    texts = [
                        describe(captioner, clip[:, :, :1] if still else clip, USUAL.fps, language)[0] for clip in clips
                    ]
                    score = caption_score(texts, sheets, still=still)
                    report[f"{where} {language} {'stills' if still else 'clips'}"] = {
                        "recall": round(score.recall, 4), "precision": round(score.precision, 4), "told": score.told,
                    }  # fmt: skip
        return report

    def outside(self) -> dict[str, Any]:
        """Prompts about nothing that the worlds hold: how rough the clips are, beside rendered clips and noise."""
        prompts = [Prompt(text, {}, i) for i, text in enumerate(OUTSIDE)]
        videos = [v for _, part in generated(self.model, prompts, USUAL, self.settings) for v in part]
        real = [roughness(v[0]) for v in rendered(described(min(8, self.clips), held_out=False), USUAL)]
        noise = torch.rand(videos[0].shape, generator=torch.Generator().manual_seed(0))
        for prompt in prompts:
            self.say(f"{prompt.text}: {unknown_note(prompt.text)}")
        return {
            "prompts": {p.text: round(roughness(v), 4) for p, v in zip(prompts, videos, strict=True)},
            "unknown": {p.text: unknown_note(p.text) for p in prompts},
            "rendered": [round(min(real), 4), round(max(real), 4)],
            "noise": round(roughness(noise), 4),
        }


def evaluate(
    checkpoint: Path | None = None, out: Path | None = None, *, clips: int = 48, real: Path | None = None,
    parts: Iterable[str] = PARTS, steps: int = DEFAULT_STEPS, guidance: float | None = None,
    sampler: str = "dpmpp_2m", judge: Path = BUNDLED_JUDGE, sentences: Path = SENTENCES,
    device: torch.device | str = "cpu", say: Callable[[str], None] = print,
) -> dict[str, Any]:  # fmt: skip
    """Measure a model, print a table, write the report as JSON to `out`, part after part, and return it.

    Args:
        clips: Clips per score; 4 gives a first impression in about two minutes, hundreds a result.
        real: A folder of real videos to measure compression on.
        parts: Which of `PARTS` to measure.
        sentences: Folder of `paraphrases_en.txt` and `paraphrases_zh.txt`; a file that is missing is left out.

    Raises:
        ValueError: an unknown part or no clips; and what loading the model and the judge raises.
    """
    wanted = tuple(parts)
    for part in wanted:
        if part not in PARTS:
            raise ValueError(f"there is no part {part!r} of the report; choose from {', '.join(PARTS)}")
    if clips < 1:
        raise ValueError(f"clips is {clips}; it must be at least 1, for instance 48")
    settings = SamplerSettings(steps=steps, sampler=sampler, **({} if guidance is None else {"guidance": guidance}))
    model = Sora.load(checkpoint, device=device)
    evaluation = Evaluation(model, load_judge(judge).to(device), clips=clips, settings=settings, real=real,
                            sentences=sentences, checkpoint=checkpoint, say=say)  # fmt: skip
    sampling = {"steps": settings.steps, "guidance": settings.guidance, "sampler": settings.sampler}
    report: dict[str, Any] = {"model": (checkpoint or BUNDLED).name, "clips": clips, "sampling": sampling}
    for part in PARTS:
        if part in wanted:
            started = time.process_time()
            report[part] = getattr(evaluation, part)()
            say(f"{part}: measured in {time.process_time() - started:.0f} s of CPU time")
            report["summary"] = summary(report)
            if out is not None:
                write_json(out, report)
    say(table(report))
    return report
