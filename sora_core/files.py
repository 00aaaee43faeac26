"""Files that are whole or absent: written under a temporary name beside the target and renamed when complete."""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

KILLED = 24 * 3600.0
"""Seconds without a change after which a file that was being written belongs to a program that was killed."""
_MOST_BYTES = 200
"""Of a file's name in that of its temporary one, which is longer: most disks hold names of 255 bytes."""
WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between attempts to rename a file."""


@contextmanager
def whole_or_absent(path: Path) -> Iterator[Path]:
    """A temporary path to write to: it becomes `path` when the block ends well and is deleted when it raises.

    An existing `path` stays as it is until the new file is complete and on disk. What programs that were killed while
    they wrote `path` have left, longer than `KILLED` ago, is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = temporary_name(path)
    for left in path.parent.glob(f"{glob.escape(name)}*.part"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > KILLED:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    temporary = path.with_name(f"{name}{secrets.token_hex(4)}.part")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> str:
    """How the names of hidden files and folders begin in which `path` is written; they end in .part."""
    return f".{os.fsencode(path.name)[:_MOST_BYTES].decode(errors='ignore')}."


def rename(source: Path, target: Path) -> None:
    """Rename a file, also over one that is there already. Raises OSError when it cannot be.

    Windows refuses it while a virus scanner or an indexer looks into either file, so it is tried for a moment.
    """
    for seconds in WAITS:
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(seconds)
    os.replace(source, target)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read, Chinese as it is, to a file that is whole or absent."""
    with whole_or_absent(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def writable(out: Path) -> None:
    """Raise ValueError before any work is done when nothing can be written where the result is to go."""
    if os.path.isdir(out):  # a Path would raise for names that are too long, in some versions
        raise ValueError(f"{out} is a folder; give the name of a file")
    try:
        with whole_or_absent(out.with_name(f"{out.name}.try")) as temporary:
            temporary.write_bytes(b" ")
            raise InterruptedError  # the file is not wanted
    except InterruptedError:
        pass
    except OSError as error:
        raise ValueError(f"{out} cannot be written: {error.strerror}; choose another folder") from None
    try:
        # Refused as the new file would be: on Windows while a player shows the old one, elsewhere for a name too long.
        os.rename(out, out)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ValueError(f"{out} cannot be written: {error.strerror}; close it, or choose another name") from None
