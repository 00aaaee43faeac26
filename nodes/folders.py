"""Where model files are: the bundled one, models/sora, and what stock blocks save under output/sora."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import folder_paths

from sora_core.checkpoint import BUNDLED

FOLDER = "sora"
BUNDLED_NAME = "sora-mini (bundled)"
UNSAFE = re.compile(r'[<>:"/\\|?*]|^[. ]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$', re.IGNORECASE)
"""What no file can be called on one system or another."""
LONGEST = 120
"""Bytes of a name: with an ending and a number it is then a file's on any system."""


def is_file_name(name: str) -> bool:
    """Whether a file or a folder can be called so on any system."""
    return name.isprintable() and 0 < len(name.encode()) <= LONGEST and not UNSAFE.search(name)


def register() -> None:
    """Tell ComfyUI about the folder, keeping what extra_model_paths.yaml may have said about it."""
    for parent in (Path(folder_paths.models_dir), Path(folder_paths.get_output_directory())):
        folder_paths.add_model_folder_path(FOLDER, str(parent / FOLDER))
    paths, _ = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, {".safetensors"})


def model_names() -> list[str]:
    """What a user can choose, the bundled model first."""
    try:
        names = folder_paths.get_filename_list(FOLDER)
    except OSError:  # ComfyUI asks when each folder of its last list was changed, also those that are gone by now
        folder_paths.filename_list_cache.pop(FOLDER, None)
        names = folder_paths.get_filename_list(FOLDER)
    return [BUNDLED_NAME, *names]


def model_path(name: str) -> Path:
    """The file behind a name. Raises ValueError when it is gone."""
    if name == BUNDLED_NAME:
        return BUNDLED
    path = folder_paths.get_full_path(FOLDER, name)
    if path is None:
        raise ValueError(
            f"there is no model {name} in models/{FOLDER} or output/{FOLDER}; choose {', '.join(model_names())}"
        )
    return Path(path)


def model_state(name: str | None) -> str:
    """What changes when the file behind a name is replaced. Raises ValueError when it is gone.

    None is a name that another block will give: as it may be any, a change of any file counts then.
    """
    if name is None:
        return "\n".join(f"{known} {model_state(known)}" for known in model_names())
    path = model_path(name)
    about = path.stat() if path.is_file() else None
    return f"{about.st_mtime_ns}-{about.st_size}" if about else "missing"


def new_model_path(name: str) -> Path:
    """A file in output/sora that does not exist: what a user called it, with a number where a model is called so.

    Raises ValueError for a name that no file can have.
    """
    stem = name.strip().removesuffix(".safetensors").rstrip()
    if not is_file_name(stem):
        raise ValueError(
            f'a file cannot be called "{" ".join(name.split())[:60]}"; give a name of at most {LONGEST} letters,'
            " digits, spaces, hyphens and underscores, for instance my model"
        )
    folder, known = Path(folder_paths.get_output_directory()) / FOLDER, set(model_names())
    paths = (folder / f"{stem}{f' {number}' if number > 1 else ''}.safetensors" for number in count(1))
    return next(path for path in paths if path.name not in known and not path.exists())
