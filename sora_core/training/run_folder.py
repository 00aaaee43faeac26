"""A run's folder, which is one training command's alone."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..data.store import CAPTIONS_PIN, CLIPS_PIN
from ..files import write_json
from .loop import LOG
from .parallel import rank
from .state import STATE

LOCK = ".lock"
"""The file in a run's folder that a process holds while it trains there."""
SETTINGS = "settings.json"
"""The file in a run's folder that says how it was trained last."""
NETWORKS = "networks.json"
"""The file in a run's folder that names the networks whose output it trains on."""


@contextmanager
def own_folder(run: Path) -> Iterator[None]:
    """Within the block a run's folder is this command's alone, without what killed ones left half written there.

    What it is to begin with binds it once something was made of that. A folder that is new and stays without goes when
    the block raises. Of processes that train together, process 0 holds it. Raises ValueError when nothing can be
    written there, when another command trains there, as each would save over what the other has learnt, or when it
    holds others' files of such names as a run's.
    """
    if rank() > 0:
        yield
        return
    made = not run.exists()
    try:
        _refuse_others(run)
        run.mkdir(parents=True, exist_ok=True)
        lock = (run / LOCK).open("wb")
    except OSError as error:
        raise ValueError(f"{run} cannot be written: {error.strerror}; choose another folder") from None
    try:
        with lock:
            if not _hold(lock):
                raise ValueError(f"another process trains in {run}; let it end, or choose another folder")
            for left in (*run.glob(".*.part"), *run.glob("latents_*/.*.part")):
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink()
            _unpin(run)
            try:
                yield
            finally:
                _unpin(run)
    except BaseException:
        if made and [path.name for path in run.iterdir()] == [LOCK]:
            shutil.rmtree(run)
        raise


def _refuse_others(run: Path) -> None:
    """Raise ValueError for a folder where nobody trained and that has files which a run would delete or write over."""
    if (run / LOCK).exists() or (run / STATE).exists():
        return
    for name in (CAPTIONS_PIN, CLIPS_PIN, NETWORKS, SETTINGS, LOG):
        if (run / name).exists():
            raise ValueError(f"{run} holds a {name} of something else than a training; choose another folder")


def _unpin(run: Path) -> None:
    """Forget what a run was to begin with that was refused, or ended, before it made something of that."""
    if (run / STATE).exists():
        return
    for pin in (CAPTIONS_PIN, NETWORKS, SETTINGS):
        (run / pin).unlink(missing_ok=True)
    if not any(run.glob("latents_*/*")):
        (run / CLIPS_PIN).unlink(missing_ok=True)


def last_settings(run: Path) -> dict[str, Any]:
    """How a run was trained last; nothing when it has no state yet, or is of a version that did not note it."""
    path = run / SETTINGS
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return settings


def note_settings(run: Path, settings: dict[str, Any]) -> None:
    """Note how a run is trained from now on."""
    if last_settings(run) != settings:
        write_json(run / SETTINGS, settings)


def pin_networks(run: Path, found: dict[str, str]) -> None:
    """Remember the fingerprints of the networks whose output a run trains on, by what they are.

    Raises ValueError when one of them is another by now: what was learnt would be led astray without a word.
    """
    pin = run / NETWORKS
    if not pin.exists():
        write_json(pin, found)
    for name, known in json.loads(pin.read_text(encoding="utf-8")).items():
        if found.get(name, known) != known:
            raise ValueError(f"the {name} is not the one that this run began with; bring it back or begin another run")


def _hold(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed, or its process ends in whatever way; False when another one holds it.

    File systems without locks count as free.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
