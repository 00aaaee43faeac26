"""Captions of procedural clips: many ways, short and long, English and Chinese, to say the same attributes."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from sora_core.data.worlds import lexicon
from sora_core.data.worlds.attributes import Attributes
from sora_core.data.worlds.lexicon import Lexicon, Phrase, article, participle, third_person

STYLES = ("short", "descriptive")
"""What every world's captions can be."""
LOOSE = "loose"
"""What captions of the sandbox can be besides."""
STILL = "still"
"""What captions of one frame of the sandbox are: descriptive, but for motion and camera."""
SHORT_LENGTH = {"en": (3, 9), "zh": (3, 20)}
"""Fewest and most words (English) or characters (Chinese) of a short caption of one subject."""

_SECOND_LENGTH = {"en": 4, "zh": 10}
"""How much longer a short caption may be when it also names a second subject."""

_SLOT = re.compile(r"\{(\w+)\}")
_SHOT_SLOTS = {"camera", "camera_doing", "shot", "a_shot"}
_LOOSE_SLOTS = {
    "environment": ("where",), "time": ("when",), "motion": ("does", "doing"),
    "camera": ("camera", "camera_doing", "shot"), "occluder": ("hidden",),
}  # fmt: skip
_PLAIN_SLOTS = {
    "environment": "where", "time": "when", "motion": "does", "second_subject": "other", "occluder": "hidden",
    "camera": "camera",
}  # fmt: skip
_NOUN_PARTS = ("subject", "colour", "second_subject", "second_colour")
CAMERAS = {
    "en": ("camera ", "camera ", "lens ", "view ", "shot "), "zh": ("镜头", "镜头", "相机", "摄影机", "机位", "画面"),
}  # fmt: skip
"""What loose captions call the camera."""
_JOINTS = {"en": (" ", " ", ", ", " and ", ". "), "zh": ("", "", "，", "，", "。")}
_SYLLABLES = [first + vowel for first in "bdfgklmnprstvz" for vowel in ("a", "e", "i", "o", "u", "an", "er", "ick")]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Caption:
    """A caption and the names of the attributes it states."""

    text: str
    mentioned: frozenset[str]


class Draw:
    """Choices from a `torch.Generator`, drawn 32 numbers at a time because one call per choice is slow."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._numbers: list[float] = []

    def number(self) -> float:
        """A number in [0, 1)."""
        if not self._numbers:
            self._numbers = torch.rand(32, generator=self._generator).tolist()
        return self._numbers.pop()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.number() < probability

    def choice(self, options: Sequence[_T]) -> _T:
        """One of `options`, all equally likely."""
        return options[int(self.number() * len(options))]

    def phrase(self, options: Sequence[_T]) -> _T:
        """The first, canonical option half of the time, else any of the others."""
        return options[0] if self.chance(0.5) else self.choice(options[1:])


class Plain(Draw):
    """No chance at all: always the first, canonical option."""

    def __init__(self) -> None: ...

    def chance(self, probability: float) -> bool:
        return False

    def choice(self, options: Sequence[_T]) -> _T:
        return options[0]

    def phrase(self, options: Sequence[_T]) -> _T:
        return options[0]


class Words:
    """The phrases chosen for one clip, ready for the slots of any template.

    Canonical ones half of the time, or if `loose` any, and any of the nouns and colours that only prompts use.
    """

    def __init__(self, attributes: Attributes, draw: Draw, words: Lexicon, *, loose: bool = False) -> None:
        self._draw = draw
        self._words = words
        self._english = words.language == "en"
        self._attributes = attributes
        choose = draw.choice if loose else draw.phrase
        self._chosen: dict[str, Phrase] = {
            name: choose(values[getattr(attributes, name)])
            for name, values in words.phrases.items()
            if getattr(attributes, name) in values
        }
        for name in _NOUN_PARTS if loose else ():
            also = words.also.get(name.removeprefix("second_"), {}).get(getattr(attributes, name), ())
            if also and draw.chance(0.5):
                self._chosen[name] = replace(self._chosen[name], key=draw.choice(also), tail="")
        self._relation = choose(words.relations[attributes.second_side])
        self._shot = draw.phrase(words.shots[attributes.camera]).text

    def fill(self, template: str, skip: frozenset[str] = frozenset()) -> tuple[str, frozenset[str]]:
        """The template with its slots filled, those of `skip` with nothing, and the attributes it then states."""
        mentioned: set[str] = set()

        def replace(match: re.Match[str]) -> str:
            if match[1] in skip:
                return ""
            text, names = self.slot(match[1])
            mentioned.update(names)
            return text

        return clean(_SLOT.sub(replace, template), self._words.language), frozenset(mentioned)

    def slot(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The words of one slot and the attributes they state."""
        chosen = self._chosen
        if name in ("thing", "bare"):
            return self._noun("subject", "colour", bare=name == "bare"), ("subject", "colour")
        if name == "second":
            return self._noun("second_subject", "second_colour", bare=False), ("second_subject", "second_colour")
        if name == "other":
            return self._other()
        if name == "hidden":
            return chosen["occluder"].text, ("occluder",)
        if name == "where":
            return chosen["environment"].text, ("environment",)
        if name == "when":
            return chosen["time"].text, ("time",)
        if name in ("does", "doing"):
            return self._verb("motion", name), ("motion",)
        if name in ("shot", "a_shot"):
            return article(self._shot) if name == "a_shot" else self._shot, ("camera",)
        camera = "the camera " if self._english else "镜头"
        return camera + self._verb("camera", "doing" if name == "camera_doing" else "does"), ("camera",)

    def loose(self, attribute: str) -> str:
        """Any of the words for one of `_LOOSE_SLOTS`, as a note has them."""
        also = self._words.also.get(attribute, {}).get(getattr(self._attributes, attribute), ())
        if also and self._draw.chance(0.4):
            camera = self._draw.choice(CAMERAS[self._words.language]) if attribute == "camera" else ""
            return camera + self._draw.choice(also)
        if attribute in ("environment", "occluder") and self._draw.chance(0.4):
            return self._chosen[attribute].key
        return self.slot(self._draw.choice(_LOOSE_SLOTS[attribute]))[0]

    def filler(self) -> str:
        """A word that says nothing here: a common one, or one that nobody knows."""
        if self._draw.chance(0.5):
            return self._draw.choice(self._words.fillers)
        if self._english:
            return "".join(self._draw.choice(_SYLLABLES) for _ in range(1 + int(3 * self._draw.number())))
        # The unified ideographs.
        return chr(0x4E00 + int(20000 * self._draw.number()))

    def _verb(self, attribute: str, form: str) -> str:
        """A verb phrase as `form` asks for ("does" or "doing"), motions now and then with another aspect."""
        plain = self._chosen[attribute].text
        forms = {"plain": plain, "does": plain, "doing": plain}
        if self._english:
            forms |= {"does": third_person(plain), "doing": participle(plain)}
        # English participles follow a noun or "is" already, so only the finite verb may be wrapped.
        wraps = attribute == "motion" and self._attributes.motion != "still" and (form == "does" or not self._english)
        return (
            self._draw.choice(self._words.aspects).format(**forms) if wraps and self._draw.chance(0.2) else forms[form]
        )

    def _noun(self, subject: str, colour: str, *, bare: bool) -> str:
        """A subject with its colour, now and then with an adjective that means nothing here."""
        noun, hue = self._chosen[subject], self._chosen[colour].text
        adjective = self._draw.choice(self._words.adjectives) if self._draw.chance(0.12) else ""
        if self._english:
            if not bare and self._draw.chance(0.05):
                return article(f"{adjective} {noun.key}".strip()) + self._draw.choice((" painted ", " that is ")) + hue
            text = f"{adjective} {hue} {noun.key}".strip()
            return text if bare else article(text)
        # One-character colours stand directly before the noun; the others take a particle, which 色 may drop.
        if len(hue) > 1 and not (hue.endswith("色") and self._draw.chance(0.3)):
            hue += "的"
        text = adjective + hue + noun.key
        return text if bare else f"一{noun.lead}{text}"

    def _other(self) -> tuple[str, tuple[str, ...]]:
        if self._attributes.second_subject == "none":
            return self._chosen["second_subject"].text, ("second_subject",)
        noun = self._noun("second_subject", "second_colour", bare=False)
        return self._relation.format(noun), ("second_subject", "second_colour")


def clean(text: str, language: str) -> str:
    """`text` without the gaps and doubled commas that empty slots leave."""
    if language == "zh":
        text = re.sub(r"，+", "，", text)
        text = re.sub(r"，*([。：；])，*", r"\1", text)
        return text.strip("，")
    text = re.sub(r"\s+([,.;:])", r"\1", re.sub(r"\s+", " ", text)).strip()
    text = re.sub(r",+", ",", text)
    return re.sub(r",*([.;:]),*", r"\1", text).strip(" ,")


def capitalised(text: str) -> str:
    """English `text` with a capital at the beginning of each sentence."""
    return re.sub(r"(^|[.] )([a-z])", lambda match: match[1] + match[2].upper(), text)


def _punctuated(text: str, draw: Draw, language: str, style: str) -> str:
    """`text` with the capitals and the full stop that one of several writers would give it."""
    final = draw.chance(0.8 if style == "descriptive" else 0.3)
    end = "。" if language == "zh" else "."
    text = text.rstrip(end)
    if language == "en" and draw.chance(0.75):
        text = capitalised(text)
        if draw.chance(0.04):
            text = text.upper()
    elif language == "en":
        text = text.lower()
    return text + end if final else text


def _compose_descriptive(
    attributes: Attributes, draw: Draw, words: Lexicon, style: str = "descriptive"
) -> tuple[str, frozenset[str]]:
    """Every attribute in one to three sentences; what is absent is stated only now and then."""
    absent = {"other": attributes.second_subject == "none", "hidden": attributes.occluder == "none"}
    skip = frozenset(slot for slot, is_absent in absent.items() if is_absent and not draw.chance(0.2))
    template = draw.choice(words.templates[style])
    return Words(attributes, draw, words).fill(template, skip)


def _short_templates(attributes: Attributes, draw: Draw, words: Lexicon) -> list[str]:
    """The short templates that state what is there, leave out what is not, and are worth their words.

    What a caption leaves out is settled here, once: settled per template, the long templates would lose most often.
    """
    second = attributes.second_subject != "none" and draw.chance(0.85)
    wall = attributes.occluder != "none" and draw.chance(0.15 if second else 0.6)
    avoided = set() if attributes.camera != "static" or draw.chance(0.3) else _SHOT_SLOTS
    avoided = avoided | (set() if attributes.motion != "still" or draw.chance(0.5) else {"does", "doing"})
    suitable = []
    for template in words.templates["short"]:
        slots = set(_SLOT.findall(template))
        if ("other" in slots) == second and ("hidden" in slots) == wall and not slots & avoided:
            suitable.append(template)
    return suitable


def _compose_short(attributes: Attributes, draw: Draw, words: Lexicon) -> tuple[str, frozenset[str]]:
    """A few words with the subject and some of the rest, by drawing until the length is right."""
    low, high = SHORT_LENGTH[words.language]
    if attributes.second_subject != "none":
        high += _SECOND_LENGTH[words.language]
    text, mentioned = "", frozenset[str]()
    suitable = _short_templates(attributes, draw, words)
    for _ in range(20):
        template = draw.choice(suitable)
        if template.startswith(("{thing}", "{bare}")) and "{does}" not in template and draw.chance(0.1):
            template = draw.choice(words.requests).replace("{}", template)
        text, mentioned = Words(attributes, draw, words).fill(template)
        length = len(re.findall(r"[\w'-]+", text)) if words.language == "en" else len(re.findall(r"\w", text))
        if low <= length <= high:
            break
    else:
        canonical = [words.phrases[name][getattr(attributes, name)][0] for name in ("colour", "subject")]
        colour, noun = canonical
        text = article(f"{colour.text} {noun.key}") if words.language == "en" else f"{colour.text}的{noun.key}"
        mentioned = frozenset({"subject", "colour"})
    return text, mentioned


def _compose_loose(attributes: Attributes, draw: Draw, words: Lexicon) -> tuple[str, frozenset[str]]:
    """Some of what is there, in any order and any words, among words that mean nothing: what no template foresees."""
    said = Words(attributes, draw, words, loose=True)
    parts = [said.slot(draw.choice(("thing", "bare")))]
    absent = {name for name in ("second_subject", "occluder") if getattr(attributes, name) == "none"}
    parts += [(said.loose(name), (name,)) for name in _LOOSE_SLOTS if name not in absent and draw.chance(0.5)]
    if "second_subject" not in absent and draw.chance(0.7):
        parts.append(said.slot("other"))
    joints = _JOINTS[words.language]
    text = ""
    for part, _ in sorted(parts, key=lambda _: draw.number()):
        for _ in range(int(4 * draw.number()) if draw.chance(0.5) else 0):
            text += said.filler() + joints[0]
        text += part + draw.choice(joints)
    return clean(text, words.language).strip(" ,.，。"), frozenset(name for _, names in parts for name in names)


def _with_side(text: str, attributes: Attributes, side: str, words: Lexicon) -> str:
    """`text`, and then a sentence on which side its second subject stands, as the expander adds one."""
    nouns = [phrase.key for phrase in words.phrases["second_subject"][attributes.second_subject]]
    named = next((noun for noun in nouns if noun in text), nouns[0])
    end = "。" if words.language == "zh" else ". "
    return text.rstrip(" .。") + end + words.stands[side].format(named)


def compose(attributes: Attributes, generator: torch.Generator, language: str = "en", style: str = "short") -> Caption:
    """A caption of a clip, with a note of which attributes it states.

    Args:
        attributes: what the clip shows.
        generator: decides the template and, per attribute, the canonical word (half of the time) or a synonym.
        language: "en" or "zh".
        style: "short" is a few words on the subject and some of the rest, now and then with a sentence on the side of a
            second one; "descriptive" is one to three sentences on
            everything that is there (the absence of a second subject or a wall is stated one time in five), "loose" is
            some of it in any order, among words that mean nothing, and "still" is everything that one frame shows.

    Raises:
        ValueError: the language or style is not one of these.
    """
    if style not in (*STYLES, LOOSE, STILL):
        raise ValueError(f'style is {style!r}; it must be "short", "descriptive", "loose" or "still"')
    words = lexicon.load(language)
    draw = Draw(generator)
    side = attributes.second_side
    if side != "none" and style in ("short", LOOSE) and draw.chance(0.5):
        attributes = replace(attributes, second_side="none")
    if style == "short":
        text, mentioned = _compose_short(attributes, draw, words)
    elif style == LOOSE:
        text, mentioned = _compose_loose(attributes, draw, words)
    else:
        text, mentioned = _compose_descriptive(attributes, draw, words, style)
    if side != "none" and "second_subject" in mentioned:
        if attributes.second_side != "none":
            mentioned |= {"second_side"}
        elif draw.chance(0.5):
            text, mentioned = _with_side(text, attributes, side, words), mentioned | {"second_side"}
    return Caption(_punctuated(text, draw, language, style), mentioned)


def plainest(attributes: Attributes, mentioned: Collection[str], language: str) -> str:
    """The caption of the canonical words in the first template's order that states just what is `mentioned`."""
    words = lexicon.load(language)
    template = words.templates["descriptive"][0]
    skip = frozenset(slot for name, slot in _PLAIN_SLOTS.items() if name not in mentioned)
    if "second_side" not in mentioned:
        attributes = replace(attributes, second_side="none")
    text = clean(Words(attributes, Plain(), words).fill(template, skip)[0], language).rstrip(".。 ")
    return f"{text}。" if language == "zh" else f"{capitalised(text)}."
