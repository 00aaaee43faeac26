"""A world that is played turn by turn, on disk: a file for each turn, from whose latent the next one goes on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..files import rename
from ..shapes import LatentShape, VideoShape
from ..stored_latent import NAME
from ..tensor_files import save_tensors

TURN = re.compile(r"(\d{5})\.safetensors")
NEXT = "next.safetensors"
"""A turn that is whole but not yet one of the play's."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn: what happened in it, the `latent` frames that it made, and the `video` of the whole play with it."""

    action: str
    seed: int
    video: VideoShape
    latent: LatentShape
    model: str
    """The kind of latents, named after the model that makes them."""

    @property
    def kind(self) -> str:
        """What all turns of a play have in common, in words."""
        video, latent = self.video, self.latent
        return (
            f"{video.width}x{video.height} pixels at {video.fps:g} fps, {latent.channels} channels of"
            f" {latent.width}x{latent.height} cells of {self.model}"
        )


class Play:
    """A folder that holds the turns of one play, numbered from 1."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def file(self, number: int) -> Path:
        """Where a turn is."""
        return self.folder / f"{number:05d}.safetensors"

    def segment(self, number: int) -> Path:
        """Where the video of a turn is, which is made again when it is not there; see `play_video`."""
        return self.folder / f"{number:05d}.mp4"

    def last(self) -> int:
        """The number of the last turn, or 0."""
        found = (TURN.fullmatch(path.name) for path in self.folder.glob("*.safetensors"))
        return max((int(match[1]) for match in found if match), default=0)

    def turns(self, last: int) -> list[Turn]:
        """The turns up to the `last`; their latents stay on disk.

        Raises ValueError for a turn that is damaged, missing, or of another kind than the first.
        """
        turns: list[Turn] = []
        for number in range(1, last + 1):
            turn = self._read(number)
            if turns and turn.kind != turns[0].kind:
                raise ValueError(
                    f"{self.file(number)} is of another play: {turn.kind}, where turn 1 is {turns[0].kind};"
                    f" {_before(number)}"
                )
            turns.append(turn)
        return turns

    def latent(self, turns: Sequence[Turn], first: int = 0) -> Tensor:
        """The latent of the first `turns`, `1 c t h w`, from latent frame `first` on; no more than that is read.

        Raises ValueError for a turn whose file cannot be read.
        """
        parts, start = [], 0
        for number, turn in enumerate(turns, 1):
            stop = start + turn.latent.frames
            if stop > first:
                parts.append(self._frames(number, max(0, first - start)))
            start = stop
        return torch.cat(parts, dim=2)

    def add(self, made: Tensor, turn: Turn, after: int) -> Path | None:
        """Keep the latent frames `made` (`1 c t h w`) as the turn after number `after`, on disk when this returns.

        If there are later turns already, the whole play as it was is kept beside it, and its folder is returned.
        Raises ValueError when the disk is full or read-only; the play is then as it was, or also kept beside it.
        """
        about = {"action": turn.action, "model": turn.model, "seed": str(turn.seed)}
        about |= {name: str(value) for name, value in asdict(turn.video).items()}
        try:
            save_tensors({NAME: made}, self.folder / NEXT, about)
            aside = self._set_aside(after)
            rename(self.folder / NEXT, self.file(after + 1))
        except OSError as error:
            raise ValueError(f"{self.folder} cannot be written: {error}; make room there, or allow writing") from None
        return aside

    def _set_aside(self, after: int) -> Path | None:
        last = self.last()
        if last <= after:
            return None
        names = (self.folder.with_name(f"{self.folder.name} ({number})") for number in count(1))
        aside = next(path for path in names if not path.exists())
        partial = aside.with_name(f".{aside.name}.part")
        shutil.rmtree(partial, ignore_errors=True)  # what a killed server left
        try:
            shutil.copytree(self.folder, partial, ignore=shutil.ignore_patterns(NEXT, ".*"))
            partial.rename(aside)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for number in range(last, after, -1):
            for path in (self.file(number), self.segment(number)):
                if path.exists():
                    # The file itself rather than its copy, which may not have reached the disk yet.
                    rename(path, aside / path.name)
        return aside

    def _read(self, number: int) -> Turn:
        try:
            with safe_open(self.file(number), framework="pt") as file:
                about, (one, c, t, h, w) = file.metadata() or {}, file.get_slice(NAME).get_shape()
            if one != 1:
                raise ValueError(f"it holds {one} videos")
            return Turn(
                action=about["action"], seed=int(about["seed"]), model=about["model"],
                latent=LatentShape(channels=c, frames=t, height=h, width=w),
                video=VideoShape(
                    **{name: int(about[name]) for name in ("num_frames", "height", "width")},
                    fps=float(about["fps"]), resized=about.get("resized") == "True",
                ),
            )  # fmt: skip
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise self._damaged(number, error) from None

    def _frames(self, number: int, first: int) -> Tensor:
        try:
            with safe_open(self.file(number), framework="pt") as file:
                return file.get_slice(NAME)[:, :, first:]
        except (SafetensorError, OSError) as error:
            raise self._damaged(number, error) from None

    def _damaged(self, number: int, error: Exception) -> ValueError:
        return ValueError(f"{self.file(number)} is damaged or missing: {error}; {_before(number)}")


def _before(number: int) -> str:
    """How to go on without a turn that cannot be used."""
    where = f"{number - 1} to go on before it" if number > 1 else "0 to begin anew"
    return f"put it right, or set after to {where}"
