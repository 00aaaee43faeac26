"""The block that makes a list of clips, and of what they show, from a folder of files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
from comfy_api.latest import InputImpl, io

from sora_core.video import CONTAINERS

from .prompt import panel_text
from .schema import advanced, schema
from .still import Still, pixels_of

MOST_NAMED = 8
"""Files that are left out and named."""
EXAMPLES_NAME = "examples (bundled)"
EXAMPLES = Path(__file__).resolve().parents[1] / "workflows" / "example_clips"
"""What `python -m sora_core.headless.example_clips` filmed."""


def input_folder() -> Path:
    """ComfyUI's input directory."""
    return Path(folder_paths.get_input_directory())


def folder_names() -> list[str]:
    """What a user can choose: the bundled examples, then all folders in the input directory that are not hidden.

    Links are followed, as ComfyUI does with models: large sets of clips lie on other disks. One that leads back to a
    folder above it is listed and not gone into.
    """
    names, top = [], str(input_folder())
    above = {top: {os.path.realpath(top)}}
    for place, inside, _ in os.walk(top, followlinks=True):
        real = {name: os.path.realpath(Path(place, name)) for name in inside if not name.startswith(".")}
        names += [Path(place, name).relative_to(top).as_posix() for name in real]
        here = above.pop(place)
        inside[:] = [name for name in real if real[name] not in here]
        above |= {os.path.join(place, name): here | {real[name]} for name in inside}
    return [EXAMPLES_NAME, *sorted(names)]


def folder_path(name: str) -> Path:
    """The folder behind a name. Raises ValueError when it is gone or no subfolder of the input directory."""
    if name == EXAMPLES_NAME:
        return EXAMPLES
    if name not in folder_names():
        raise ValueError(
            f'there is no folder "{name}" in ComfyUI\'s input directory, {input_folder()}; put it there and refresh'
            " (R), or choose another"
        )
    return input_folder() / name


def in_order(path: Path) -> tuple[list[str | int], str]:
    """What names are sorted by: the numbers in them count as numbers, so that clip2 comes before clip10."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], path.name


def is_video(path: Path) -> bool:
    """Whether a file is read as a video, by its extension."""
    return path.suffix.lower() in CONTAINERS


def clip_files(folder: str) -> list[Path]:
    """The videos and images of a folder, in natural order, but for hidden ones. Raises ValueError if there are none."""
    place = folder_path(folder)
    names = [path.name for path in place.iterdir() if path.is_file() and not path.name.startswith(".")]
    images = set(folder_paths.filter_files_content_types(names, ["image"]))
    paths = [place / name for name in names if name in images or is_video(Path(name))]
    if not paths:
        raise ValueError(
            f"{place} holds no clips; put videos ({', '.join(CONTAINERS)}) or images there, each with a .txt file of"
            " the same name that says what it shows"
        )
    return sorted(paths, key=in_order)


def left_out(folder: str) -> list[str]:
    """The files of a folder that are neither clips nor captions of one, in natural order, but for hidden ones."""
    place, clips = folder_path(folder), clip_files(folder)
    known = {path for clip in clips for path in (clip, clip.with_suffix(".txt"))}
    others = (path for path in place.iterdir() if path.is_file() and path not in known)
    return [path.name for path in sorted(others, key=in_order) if not path.name.startswith(".")]


def inventory(captions: list[str], others: list[str]) -> str:
    """How many clips were loaded, how many of them have captions, and which files are no clips."""
    count, described = len(captions), sum(bool(caption) for caption in captions)
    text = f"{count} clip{'s' if count != 1 else ''}, {described} with a caption"
    if others:
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        text += f"; left out, as neither clips nor their captions: {', '.join(others[:MOST_NAMED])}{more}"
    return text


def chosen_files(folder: str, first: int, limit: int) -> list[Path]:
    """The files after the `first`, at most `limit` of them unless that is 0. Raises ValueError if none is left."""
    paths = clip_files(folder)
    if first >= len(paths):
        raise ValueError(f"first is {first} and {folder} holds {len(paths)} clips; use 0 to {len(paths) - 1}")
    return paths[first : first + limit if limit else None]


def state_of(path: Path) -> str:
    """What changes when a file is replaced, written or deleted."""
    about = path.stat() if path.is_file() else None
    return f"{path.name} {about.st_size} {about.st_mtime_ns}" if about else f"{path.name} missing"


def state_of_folder(name: str) -> str:
    """What changes when any file of a folder does."""
    place = EXAMPLES if name == EXAMPLES_NAME else input_folder() / name
    return "\n".join([name, *(state_of(path) for path in sorted(place.iterdir()) if path.is_file())])


class SoraLoadClips(io.ComfyNode):
    """A folder in, a list of clips and a list of their captions out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraLoadClips",
            display_name="Sora Load Clips",
            description="Lists the videos and images of a folder, with what text files of the same names say of them,"
            " for Sora Train Model. Blocks that take one video run once for each.",
            search_aliases=["dataset", "load videos", "video folder", "captions", "batch"],
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "folder", options=folder_names(),
                    tooltip="A folder in ComfyUI's input directory, or the examples that come with this pack.",
                ),
                advanced(
                    io.Int, "first", default=0, min=0, max=1_000_000,
                    tooltip="How many clips are skipped at the beginning.",
                ),
                advanced(
                    io.Int, "limit", default=0, min=0, max=1_000_000,
                    tooltip="How many clips are taken at most; 0 takes all.",
                ),
            ],
            outputs=[
                io.Video.Output(
                    display_name="clips", is_output_list=True,
                    tooltip="Each clip as a VIDEO, by name, clip2 before clip10; an image is a VIDEO of one frame.",
                ),
                io.String.Output(
                    display_name="captions", is_output_list=True,
                    tooltip="For each clip, what its text file says; empty if there is none.",
                ),
                io.String.Output(
                    display_name="names", is_output_list=True, tooltip="For each clip, the name of its file."
                ),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, folder: str | None = None) -> bool | str:
        """Refuses a folder that is gone or empty before anything runs; None is one that another block will name.

        ComfyUI asks for one that is missing, too, which it refuses by itself.
        """
        try:
            return folder is None or bool(clip_files(folder))
        except ValueError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, folder: str | None, first: int | None, limit: int | None) -> str:
        """Files or captions that changed are loaded again; None is a folder or a number that another block will give.

        As any folder may be named, a change in any of them counts then.
        """
        if folder is None:
            return "\n".join(map(state_of_folder, folder_names()))
        paths = clip_files(folder) if first is None else chosen_files(folder, first, limit or 0)
        return "\n".join(state_of(part) for path in paths for part in (path, path.with_suffix(".txt")))

    @classmethod
    def execute(cls, folder: str, first: int, limit: int) -> io.NodeOutput:
        from sora_core.data.footage import caption_of

        paths = chosen_files(folder, first, limit)
        progress = comfy.utils.ProgressBar(len(paths))
        clips: list[Any] = []
        for path in paths:
            comfy.model_management.throw_exception_if_processing_interrupted()
            if is_video(path):
                clips.append(InputImpl.VideoFromFile(str(path)))
            else:
                pixels_of(path)  # a damaged one is refused here, before anything was done with the others
                clips.append(Still(path))
            progress.update(1)
        captions = [caption_of(path) for path in paths]
        text = inventory(captions, left_out(folder))
        return io.NodeOutput(clips, captions, [path.name for path in paths], ui=panel_text(text))
