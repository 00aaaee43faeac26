"""The captioner: looks at a clip and tells in detail what it shows, in English or Chinese.

The report has such a model re-caption all training videos (Betker et al., "Improving image generation with better
captions", 2023). Shapes: b clips, a attributes, l words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.worlds import lexicon
from ..data.worlds.attributes import ATTRIBUTES
from ..data.worlds.captions import capitalised, clean
from ..evaluation.judge import MOST_FRAMES, Judge, resized, stride_at, windows
from ..pixels import to_floats
from ..tensor_files import fits, read_tensors, save_tensors

BUNDLED = Path(__file__).parents[1] / "weights" / "captioner.safetensors"
"""The captioner that comes with the package."""
MOST_WORDS = 96
"""Words, Chinese characters and punctuation marks of a caption, at most."""
SPECIAL = ("<en>", "<zh>", "<en still>", "<zh still>", "<end>", "<unknown>")
"""What stands before the words in every vocabulary: how a caption begins, for clips and for stills, and its end."""
END, UNKNOWN = SPECIAL.index("<end>"), SPECIAL.index("<unknown>")

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff_]+(?:['-][^\W\u3400-\u9fff_]+)*|[.,:;，。：；]")
_SLOT = re.compile(r"\{\w*\}")


def words_of(text: str) -> list[str]:
    """The words, single Chinese characters and punctuation marks of a caption, in lower case."""
    return _WORD.findall(text.lower())


def text_of(words: list[str], language: str) -> str:
    """The inverse of `words_of`: a caption with capitals at the beginning of its sentences."""
    if language == "zh":
        return clean("".join(words), language)
    return capitalised(clean(" ".join(words), language))


def vocabulary() -> tuple[str, ...]:
    """All words of the lexicon's captions in both languages, after `SPECIAL`."""
    found: set[str] = set()
    for language in lexicon.LANGUAGES:
        words = lexicon.load(language)
        texts = ["the camera a an that is painted 镜头的一 . , : ; ， 。 ： ；", *words.adjectives, *words.aspects]
        texts += [relation for relations in words.relations.values() for relation in relations]
        texts += [pattern for style in ("descriptive", "still") for pattern in words.templates[style]]
        texts += [phrase.text for values in words.shots.values() for phrase in values]
        for attribute, values in words.phrases.items():
            for phrase in (phrase for phrases in values.values() for phrase in phrases):
                texts.append(phrase.text)
                if attribute in ("motion", "camera") and language == "en":
                    texts += [lexicon.third_person(phrase.text), lexicon.participle(phrase.text)]
        found.update(word for text in texts for word in words_of(_SLOT.sub(" ", text)))
    return (*SPECIAL, *sorted(found))


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """What shapes a captioner, kept in its file's header."""

    words: tuple[str, ...]
    width: int = 192
    depth: int = 3
    heads: int = 3


class Look(NamedTuple):
    """What was seen of some clips, `b a 2c`, and whether only one frame of each was."""

    seen: Tensor
    still: bool


class Layer(nn.Module):
    """Pre-normalised transformer layer under a mask, `b n d` -> `b n d`."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`mask` is `n n`, true where a token (first) may see another (second)."""
        h = F.rms_norm(x, x.shape[-1:])
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # b heads n head_dim
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))
        return x + self.down(F.silu(self.up(F.rms_norm(x, x.shape[-1:]))))


class Captioner(nn.Module):
    """The judge's eyes, then a causal transformer over what they saw and the words so far."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.eyes = Judge()
        self.entry = nn.Linear(self.eyes.heads[0].in_features, width)  # type: ignore[arg-type]
        self.value_embed = nn.ParameterList(torch.empty(len(values), width) for values in ATTRIBUTES.values())
        self.word_embed = nn.Embedding(len(config.words), width)
        self.place_embed = nn.Embedding(MOST_WORDS + 1, width)
        self.layers = nn.ModuleList(Layer(width, config.heads) for _ in range(config.depth))
        self.exit = nn.Linear(width, len(config.words))

    def initialise(self, generator: torch.Generator, eyes: Judge) -> None:
        """Small random weights, and a trained judge's eyes, which stay as they are."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter) if parameter.ndim < 2 else nn.init.normal_(
                parameter, std=parameter.shape[1] ** -0.5, generator=generator
            )
        self.eyes.load_state_dict(eyes.state_dict())
        self.eyes.requires_grad_(False)

    def forward(self, seen: Tensor, ids: Tensor) -> Tensor:
        """Logits `b l v` of the word after each of `ids` `b l`, given `Judge.features` `b a 2c` of the clips."""
        likely = (head(seen[:, i]).softmax(-1) for i, head in enumerate(self.eyes.heads))
        values = torch.stack([p @ embed for p, embed in zip(likely, self.value_embed, strict=True)], dim=1)
        prefix = self.entry(F.rms_norm(seen, seen.shape[-1:])) + values
        place = torch.arange(ids.shape[1], device=ids.device)
        x = torch.cat([prefix, self.word_embed(ids) + self.place_embed(place)], dim=1)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        mask[:, : prefix.shape[1]] = True
        for layer in self.layers:
            x = layer(x, mask)
        return self.exit(F.rms_norm(x[:, prefix.shape[1] :], x.shape[-1:]))

    @torch.inference_mode()
    def look(self, parts: Iterable[Tensor]) -> Look:
        """What the eyes see of clips, given as the parts `b 3 t h w` of `windows` or `glimpses`.

        Raises ValueError for no frames, and for NaN.
        """
        device, total, count, still = self.exit.weight.device, torch.zeros(()), 0, False
        for part in parts:
            if not part.isfinite().all():
                raise ValueError("frames hold NaN or infinite pixels; give finite values in 0..1")
            total, count = total + self.eyes.features(part.to(device)), count + 1
            still = count == 1 and part.shape[2] == 1
        if not count:
            raise ValueError("there are no frames to describe")
        return Look(total / count, still)


def glimpses(chunks: Iterable[Tensor], fps: float) -> Iterator[Tensor]:
    """What a captioner looks at of a video, part after part: `1 3 t h w` in [0, 1], as `windows` of the whole.

    `chunks` `t h w 3` are frames in [0, 1] or of whole numbers; only a few are held at a time, however many there are.
    """
    stride, begin = stride_at(fps), 0
    last = held = torch.zeros(0)
    for frames in chunks:
        kept = frames[-begin % stride :: stride, ..., :3].movedim(-1, 0)[None].cpu()
        begin += len(frames)
        if not kept.shape[2]:
            continue
        small = resized(to_floats(kept))
        held = torch.cat([held, small], dim=2) if held.ndim == 5 else small
        while held.shape[2] >= MOST_FRAMES:
            last, held = held[:, :, :MOST_FRAMES], held[:, :, MOST_FRAMES:]
            yield last
    if held.ndim == 5 and held.shape[2]:
        # The last part is as long as the others, so it begins within the one before.
        yield held if last.ndim < 5 else torch.cat([last, held], dim=2)[:, :, -MOST_FRAMES:]


@torch.inference_mode()
def tell(
    captioner: Captioner, look: Look, language: str = "en", *, temperature: float = 0.0,
    draws: torch.Generator | None = None,
) -> list[str]:  # fmt: skip
    """A caption of every clip that was looked at; of a still, without its motion.

    A `temperature` above 0 draws words with `draws` instead of taking the likeliest: other words and sentences, and
    near 1 more and more mistakes. Raises ValueError for another language than "en" and "zh", or a negative temperature.
    """
    if language not in lexicon.LANGUAGES:
        raise ValueError(f'language is {language!r}; it must be "en" or "zh"')
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}; it must be 0 or above, for instance 0.5")
    start = SPECIAL.index(f"<{language} still>" if look.still else f"<{language}>")
    ids = torch.full((len(look.seen), 1), start)
    ended = torch.zeros(len(look.seen), dtype=torch.bool)
    while ids.shape[1] <= MOST_WORDS and not ended.all():
        logits = captioner(look.seen, ids.to(look.seen.device))[:, -1].cpu()  # words are drawn there
        logits[:, [*range(END), UNKNOWN]] = -torch.inf
        if temperature > torch.finfo(logits.dtype).tiny:
            likely = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)
            word = torch.multinomial(likely, 1, generator=draws)[:, 0]
        else:
            word = logits.argmax(-1)
        word = torch.where(ended, END, word)
        ended |= word == END
        ids = torch.cat([ids, word[:, None]], dim=1)
    rows = [[captioner.config.words[i] for i in row if i != END] for row in ids[:, 1:].tolist()]
    return [text_of(row, language) for row in rows]


def describe(captioner: Captioner, video: Tensor, fps: float, language: str = "en") -> list[str]:
    """The likeliest caption of every clip of `b 3 t h w` in [0, 1] at `fps` frames per second; raises as `tell`.

    Less than a quarter of a second is looked at once and described as a still.
    """
    return tell(captioner, captioner.look(windows(video, fps)), language)


def save_captioner(path: Path, captioner: Captioner, about: Mapping[str, object]) -> None:
    """Write a captioner in half precision; `about` is what to say about its training."""
    config = captioner.config
    header = {"words": config.words, "width": config.width, "depth": config.depth, "heads": config.heads}
    weights = {name: value.half() for name, value in captioner.state_dict().items()}
    save_tensors(weights, path, {"captioner": json.dumps(header), "about": json.dumps(about)})


def load_captioner(path: Path = BUNDLED) -> Captioner:
    """A trained captioner. Raises FileNotFoundError, or ValueError when the file holds something else."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no captioner {path}; train one with: sora train captioner")
    weights, about = read_tensors(path)
    header = about.get("captioner")
    if header is None:
        raise ValueError(f"{path.name} holds no captioner; train one with: sora train captioner")
    another = ValueError(f"{path.name} holds a captioner of another version; train one with: sora train captioner")
    try:
        values = json.loads(header)
        with torch.device("meta"):
            captioner = Captioner(CaptionerConfig(**values | {"words": tuple(values["words"])}))
    except (ValueError, KeyError, TypeError, RuntimeError):
        raise another from None
    if not fits(weights, captioner):
        raise another
    captioner.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return captioner.eval().requires_grad_(False)
