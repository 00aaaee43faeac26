"""Where model files are: the bundled one, models/sora, and what stock blocks save under output/sora."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from sora_core.checkpoint import BUNDLED

FOLDER = "sora"
BUNDLED_NAME = "sora-mini (bundled)"


def register() -> None:
    """Tell ComfyUI about the folder, keeping what extra_model_paths.yaml may have said about it."""
    for parent in (Path(folder_paths.models_dir), Path(folder_paths.get_output_directory())):
        folder_paths.add_model_folder_path(FOLDER, str(parent / FOLDER))
    paths, _ = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, {".safetensors"})


def model_names() -> list[str]:
    """What a user can choose, the bundled model first."""
    return [BUNDLED_NAME, *folder_paths.get_filename_list(FOLDER)]


def model_path(name: str) -> Path:
    """The file behind a name. Raises ValueError when it is gone."""
    if name == BUNDLED_NAME:
        return BUNDLED
    path = folder_paths.get_full_path(FOLDER, name)
    if path is None:
        raise ValueError(f"there is no model {name} in models/{FOLDER}; choose {', '.join(model_names())}")
    return Path(path)
