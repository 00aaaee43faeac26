"""Clips on disk: shards of equally sized clips with their labels, read by row without loading the file."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..files import write_json
from ..tensor_files import save_tensors

CLIPS_PIN, CAPTIONS_PIN = "data.json", "captions.json"
"""The files in a run's folder that say which clips and which captions it began with."""


def write_shard(path: Path, frames: Tensor, labels: Tensor, about: dict[str, Any]) -> None:
    """Write clips `n t h w 3` (uint8) and labels `n k` (uint8); `about` must hold fps and may hold more."""
    save_tensors({"frames": frames, "labels": labels}, path, {"about": json.dumps(about, sort_keys=True)})


def read_about(file: Any) -> dict[str, Any]:
    """What the header of an open file says of its clips; nothing when it says nothing that can be read."""
    try:
        about = json.loads((file.metadata() or {}).get("about", "{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


@dataclass(frozen=True)
class Shard:
    """One open file of clips: `clips` of shape `t h w`."""

    path: Path
    clips: int
    shape: tuple[int, int, int]
    about: dict[str, Any]
    file: Any

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Read the header. Raises ValueError when the file is damaged or holds something else than clips."""
        try:
            file = safe_open(path, framework="pt")
        except SafetensorError as error:
            raise ValueError(f"{path.name} is damaged: {error}; delete it and render it again") from None
        except OSError as error:  # a folder of such a name, for instance
            raise ValueError(f"{path} cannot be read: {error}") from None
        held = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        if not {"frames", "labels"} <= held.keys():
            raise ValueError(f"{path.name} is not a shard of clips: it holds no frames or no labels")
        about, frames, labels = read_about(file), held["frames"], held["labels"]
        fps = about.get("fps")
        if not isinstance(fps, int | float) or not 0 < fps < math.inf:
            raise ValueError(f"{path.name} is not a shard of clips: its header must say fps, a number above 0")
        n, t, h, w, colours = frames.get_shape() if len(frames.get_shape()) == 5 else (0,) * 5
        if frames.get_dtype() != "U8" or colours != 3 or min(n, t, h, w) < 1:
            raise ValueError(
                f"{path.name} is not a shard of clips: its frames are {frames.get_dtype()} {frames.get_shape()}; they"
                " must be U8 [clips, frames, height, width, 3]"
            )
        if labels.get_shape()[:-1] != [n]:
            raise ValueError(
                f"{path.name} is not a shard of clips: its labels are {labels.get_shape()}; they must be"
                f" [{n}, attributes], a row for each clip"
            )
        return cls(path, n, (t, h, w), about, file)

    @property
    def world(self) -> str:
        """What it shows: the sandbox where nothing is said."""
        return str(self.about.get("world", "sandbox"))

    def frames(self, row: int, start: int = 0, stop: int | None = None) -> Tensor:
        """Frames `start` to `stop` of one clip, `t h w 3`, uint8."""
        part = slice(start, self.shape[0] if stop is None else stop)
        return self.file.get_slice("frames")[row : row + 1, part][0]  # safetensors 0.4.2 knows no single rows

    def labels(self, row: int) -> tuple[int, ...]:
        """The attribute indices of one clip."""
        return tuple(self.file.get_slice("labels")[row : row + 1][0].tolist())

    def captions(self) -> tuple[tuple[str, ...], ...] | None:
        """All captions of every clip, in the order of the clips; None if there is no file of them.

        Raises ValueError when the file does not hold at least one caption for each clip.
        """
        path = captions_path(self.path)
        if not path.exists():
            return None
        try:
            rows = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise ValueError(f"{path.name} is not JSON: {error}") from None
        told = isinstance(rows, list) and all(isinstance(row, list) and row for row in rows)
        if not told or not all(isinstance(text, str) for row in rows for text in row):
            raise ValueError(f"{path.name} must hold a list with a list of captions for each clip")
        if len(rows) != self.clips:
            raise ValueError(
                f"{path.name} has captions of {len(rows)} clips; the shard holds {self.clips}: delete the captions, or"
                " write them for each clip"
            )
        return tuple(map(tuple, rows))

    def digest(self) -> int:
        """A number that other clips under the same name would not have: of the labels and of two of the clips."""
        parts = (self.file.get_tensor("labels"), self.frames(0), self.frames(self.clips - 1))
        digest = zlib.crc32(repr((self.clips, self.shape, self.about["fps"])).encode())
        for part in parts:
            digest = zlib.crc32(part.contiguous().numpy().tobytes(), digest)
        return digest


def captions_path(shard: Path) -> Path:
    """The file beside a shard that says what its clips show, if somebody wrote one."""
    return shard.with_suffix(".captions.json")


def write_captions(shard: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write all captions of every clip of a shard to the file beside it, which training then takes its words from."""
    write_json(captions_path(shard), rows)


def shards_in(folder: Path) -> list[Path]:
    """The shards of a folder, in name order, but for hidden files (macOS keeps such beside files on other disks)."""
    return sorted(folder.glob("[!.]*.safetensors"))


class ClipStore:
    """All shards of a folder, in name order, or those of some `names`."""

    def __init__(self, folder: Path, names: list[str] | None = None):
        paths = shards_in(folder) if names is None else [folder / name for name in names]
        if not paths:
            raise ValueError(f"{folder} holds no .safetensors shards; make some with: sora worlds --out {folder}")
        self.shards = [Shard.open(path) for path in paths]
        self.clips = sum(shard.clips for shard in self.shards)

    def draw(self, generator: torch.Generator, shards: list[Shard] | None = None) -> tuple[Shard, int]:
        """A clip at random among `shards` (all by default), each clip equally likely."""
        shards = self.shards if shards is None else shards
        row = int(torch.randint(sum(s.clips for s in shards), (), generator=generator))
        for shard in shards:
            if row < shard.clips:
                return shard, row
            row -= shard.clips
        raise AssertionError("unreachable: row is below the number of clips")


def pin_captions(store: ClipStore, run: Path) -> None:
    """Remember which captions a run begins with, so that a resumed run says the same of the same clips.

    Raises ValueError when they are others by now, or do not fit their shards.
    """
    found = {shard.path.name: zlib.crc32(repr(shard.captions()).encode()) for shard in store.shards}
    pin = run / CAPTIONS_PIN
    if not pin.exists():
        write_json(pin, found)
    for name, told in json.loads(pin.read_text(encoding="utf-8")).items():
        if found[name] != told:
            raise ValueError(f"the captions of {name} are not those that this run began with; begin another run")


def pinned_store(folder: Path, run: Path) -> ClipStore:
    """The store as it was when the run began, so that a resumed run draws the same clips.

    Raises ValueError when one of its shards is gone or holds other clips by now, also under the same name: the latents
    of the old ones would be taken for theirs.
    """
    pin = run / CLIPS_PIN
    if not pin.exists():
        write_json(pin, {shard.path.name: shard.digest() for shard in ClipStore(folder).shards})
    known = json.loads(pin.read_text(encoding="utf-8"))
    for name in known:
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}, which this run began with; bring it back or begin another run")
    store = ClipStore(folder, list(known))
    for shard in store.shards:
        # Runs of older versions know names alone.
        if isinstance(known, dict) and shard.digest() != known[shard.path.name]:
            raise ValueError(f"{shard.path} holds other clips than those that this run began with; begin another run")
    return store
