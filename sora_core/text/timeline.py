"""Prompts that change over time: lines such as "[0-2s] a red ball" and the weight of each at any moment."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_UNIT = r"\s*(?:(?:s|sec|seconds?|秒)\s*)?"
_LINE = re.compile(
    rf"[\[［【]\s*{_NUMBER}{_UNIT}(?:[-－−–—~～]+|至|到)\s*{_NUMBER}{_UNIT}[\]］】]\s*[:：]?\s*(.*)", re.IGNORECASE
)


@dataclass(frozen=True)
class Segment:
    """One prompt and the seconds it is for, from `start` up to `end`."""

    start: float
    end: float
    prompt: str


def _seconds(value: float) -> str:
    return f"{value:g}"


def _parse_line(number: int, line: str) -> Segment:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(
            f'line {number} is "{line[:60]}"; a line begins with its seconds in brackets, such as "[0-2s] a red ball"'
        )
    start, end, prompt = float(match[1]), float(match[2]), match[3].strip()
    if end <= start:
        raise ValueError(
            f"line {number} runs from {_seconds(start)} s to {_seconds(end)} s; the end must come after the start,"
            f" such as [{_seconds(start)}-{_seconds(start + 1)}s]"
        )
    if not prompt:
        raise ValueError(
            f"line {number} has no prompt after [{_seconds(start)}-{_seconds(end)}s];"
            " write what happens in these seconds after the bracket"
        )
    return Segment(start, end, prompt)


def _check_order(number: int, segment: Segment, last: Segment | None) -> None:
    """A timeline has no holes: what would be shown in one is anybody's guess, so the line that closes it is named."""
    here = f"line {number} runs from {_seconds(segment.start)} s to {_seconds(segment.end)} s"
    if last is None:
        if segment.start > 0:
            raise ValueError(f"{here}, but a timeline starts at 0 s; write [0-{_seconds(segment.end)}s]")
        return
    joined = f"write [{_seconds(last.end)}-{_seconds(max(segment.end, last.end + 1))}s]"
    if segment.start < last.start:
        raise ValueError(
            f"{here}, but the line before it starts later, at {_seconds(last.start)} s; put the lines in order of time"
        )
    if segment.start < last.end:
        raise ValueError(f"{here}, but the line before it lasts until {_seconds(last.end)} s; {joined}")
    if segment.start > last.end:
        raise ValueError(
            f"{here}, but the line before it ends at {_seconds(last.end)} s and nothing is said in between; {joined}"
            f" or end the line before it at {_seconds(segment.start)} s"
        )


def parse(text: str) -> list[Segment]:
    """The segments of a prompt timeline, one per line: from 0 s, in order, each beginning where the last one ends.

    Times are seconds: "[0-2s] ...", "[0 - 2.5] ..." and "【0-2秒】..." are all read. Empty lines are skipped.

    Raises:
        ValueError: no line at all, or a line without a bracket or prompt, that ends before it starts, or that leaves a
            gap, overlaps or is out of order; the message names the line number and a line that would do.
    """
    segments: list[Segment] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        segment = _parse_line(number, line.strip())
        _check_order(number, segment, segments[-1] if segments else None)
        segments.append(segment)
    if not segments:
        raise ValueError('the timeline is empty; write at least one line such as "[0-2s] a red ball"')
    return segments


def weights_at(segments: list[Segment], t: float, blend_seconds: float = 0.0) -> tuple[float, ...]:
    """How much of each prompt holds at `t` seconds; the weights sum to 1.

    Around every boundary the weights cross over linearly within `blend_seconds`, centred on it. A blend is never
    longer than the shorter of its two segments, so that at most two prompts mix. Before the first segment and after
    the last one, those two hold.

    Raises:
        ValueError: no segments, or `blend_seconds` or `t` is not a finite number of at least 0 (any sign for `t`).
    """
    if not segments:
        raise ValueError("there are no segments; a timeline has at least one")
    if not math.isfinite(t):
        raise ValueError(f"t is {t}; it must be a finite number of seconds")
    if not math.isfinite(blend_seconds) or blend_seconds < 0:
        raise ValueError(f"blend_seconds is {blend_seconds}; it must be 0 or a finite number above 0")
    # arrived[i] is how far the crossing into segment i has come: 0 before it, 1 after it.
    arrived = [1.0]
    for before, after in pairwise(segments):
        width = min(blend_seconds, before.end - before.start, after.end - after.start)
        progress = (t - after.start) / width + 0.5 if width > 0 else float(t >= after.start)
        arrived.append(min(1.0, max(0.0, progress)))
    arrived.append(0.0)
    return tuple(here - following for here, following in pairwise(arrived))
