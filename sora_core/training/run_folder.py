"""A run's folder, which is one training command's alone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .parallel import rank
from .state import STATE

LOCK = ".lock"
"""The file in a run's folder that a process holds while it trains there."""


@contextmanager
def own_folder(run: Path) -> Iterator[None]:
    """Within the block a run's folder is this command's alone, without what killed ones left half written there.

    A folder that is new and stays empty goes when the block raises. Of processes that train together, process 0 holds
    it. Raises ValueError when nothing can be written there, or when another command trains there: each would save over
    what the other has learnt.
    """
    if rank() > 0:
        yield
        return
    made = not run.exists()
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = (run / LOCK).open("wb")
    except OSError as error:
        raise ValueError(f"{run} cannot be written: {error.strerror}; choose another folder") from None
    try:
        with lock:
            if not _hold(lock):
                raise ValueError(f"another process trains in {run}; let it end, or choose another folder")
            for left in (*run.glob(f".{STATE}.*.part"), *run.glob("latents_*/.*.part")):
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink()
            yield
    except BaseException:
        if made and [path.name for path in run.iterdir()] == [LOCK]:
            shutil.rmtree(run)
        raise


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
