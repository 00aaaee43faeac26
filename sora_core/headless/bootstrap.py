"""Sets up everything in .venv and runs a task there: `python3.11 sora_core/headless/bootstrap.py TASK`.

Standard library only, because it runs before anything is installed. A second call finds nothing to do and goes straight
to the task.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".sora-setup"

# On Linux the "+cpu" build is asked for by name: a bare version would pull gigabytes of CUDA libraries.
TORCH = "torch==2.13.0+cpu" if sys.platform == "linux" else "torch==2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

PIP_TO_UV = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "constraint": "--constraint",
}
LINT = [["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."], ["-m", "mypy"]]
TASKS = {
    "setup": [],
    "demo": [["-m", "sora_core.headless.demo"]],
    "lint": LINT,
    # Much of the time goes into servers and pages that start, and into work that one core does alone.
    "test": [*LINT, ["-m", "pytest", "--numprocesses", "2", "--dist", "loadgroup"]],
    "bench": [
        ["benchmarks/generate.py"],
        ["benchmarks/denoiser.py"],
        ["benchmarks/comfyui.py"],
        ["benchmarks/easycache.py"],
        ["benchmarks/vae.py"],
        ["benchmarks/streaming.py"],
        ["benchmarks/high_definition.py"],
    ],
}


def main(arguments: list[str]) -> int:
    """Runs one task after the set-up it needs; returns 0 only if every step of it did."""
    if len(arguments) != 1 or arguments[0] not in TASKS:
        print(f"usage: bootstrap.py {'|'.join(TASKS)}", file=sys.stderr)
        return 2
    task = arguments[0]
    try:
        set_up("headless,dev,bench" if task == "bench" else "headless,dev")
        if task == "test":
            provide_chromium()
    except subprocess.CalledProcessError as error:
        print(f"Set-up failed at: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        print(f"If it was torch: put {TORCH} into PIP_FIND_LINKS, or any torch into {VENV}.", file=sys.stderr)
        return 1
    # Every step runs even if an earlier one failed, so that one run shows all there is to repair.
    # Two processes of tests, each with a thread for every core, would wait for each other.
    environment = os.environ | ({"OMP_NUM_THREADS": "1"} if task == "test" else {})
    codes = [subprocess.run([PYTHON, *step], cwd=ROOT, env=environment).returncode for step in TASKS[task]]
    return 1 if any(codes) else 0


def set_up(extras: str) -> None:
    """Creates .venv, installs the project with `extras` and CPU torch, fetches ComfyUI and installs what it needs."""
    wanted = fingerprint(extras)
    if PYTHON.is_file() and STAMP.is_file() and STAMP.read_text() == wanted:
        return
    start = time.monotonic()
    # Where Python's own installer is missing, as at first on Debian, venv fails and leaves one without pip.
    if not PYTHON.is_file() or not version_of("pip"):
        if sys.version_info < (3, 11):  # noqa: UP036
            found = ".".join(map(str, sys.version_info[:2]))
            sys.exit(f"Sora needs Python 3.11 or newer, and this is {found}: make PYTHON=/path/to/python3")
        say("Creating .venv")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    settings = pip_settings()
    if not version_of("uv"):
        say("Installing uv")
        pip("install", "--quiet", "uv")
    if not version_of("torch"):
        say(f"Installing {TORCH}")
        install_torch(settings)
    say(f"Installing the project [{extras}]")
    install(settings, "--editable", f"{ROOT}[{extras}]")
    say(f"ComfyUI is at {output_of('-m', 'sora_core.headless.comfyui')}")
    say("Installing what ComfyUI needs")
    install(settings, *output_of("-m", "sora_core.headless.comfyui", "requirements").splitlines())
    STAMP.write_text(wanted)
    say(f"Set-up took {time.monotonic() - start:.0f} s")


def provide_chromium() -> None:
    """Installs the browser that tests/browser drives, unless there is one; without it those tests fail and say so."""
    names = ("chromium", "chromium-browser", "google-chrome")
    if not any(map(shutil.which, names)) and sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get"):
        say("Installing Chromium")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "--quiet=2", *step], env=quiet)
    if not any(map(shutil.which, names)):
        # Playwright's own build, for people who may not install packages; it does nothing when it is there already.
        subprocess.run([PYTHON, "-m", "playwright", "install", "chromium"])


def fingerprint(extras: str) -> str:
    """Names the inputs of the set-up; it runs again when one of them changes."""
    named = os.environ.get("COMFYUI_DIR", "")
    needed = Path(named).expanduser() / "requirements.txt"  # they change as that ComfyUI is updated
    parts = [
        (ROOT / "pyproject.toml").read_text(),
        Path(__file__).read_text(),
        extras,
        named,
        needed.read_text(encoding="utf-8") if named and needed.is_file() else "",
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def pip_settings() -> dict[str, list[str]]:
    """Returns pip's own settings by option name: uv does not read them, and mirrors must work for it as well."""
    found: dict[str, list[str]] = {}
    for line in output_of("-m", "pip", "config", "list").splitlines():
        key, _, value = line.partition("=")
        # The environment is listed first and goes before files.
        found.setdefault(key.rpartition(".")[2], ast.literal_eval(value).split())
    return found


def install_torch(settings: dict[str, list[str]]) -> None:
    """Installs the CPU build of torch from the configured places, else from PyTorch's own index."""
    try:
        install(settings, TORCH)
    except subprocess.CalledProcessError:
        say("No CPU build there; asking PyTorch's own index")
        install({**settings, "extra-index-url": [*settings.get("extra-index-url", []), TORCH_CPU_INDEX]}, TORCH)


def install(settings: dict[str, list[str]], *what: str) -> None:
    """Installs with uv, which takes seconds, else with pip, which takes minutes; an installed torch stays as it is."""
    torch = version_of("torch")
    wanted = [*what, f"torch=={torch}"] if torch else list(what)
    flags = [part for name, option in PIP_TO_UV.items() for value in settings.get(name, []) for part in (option, value)]
    if "extra-index-url" in settings:
        # pip treats all indexes alike, uv by default does not.
        flags += ["--index-strategy", "unsafe-best-match"]
    uv = [str(PYTHON), "-m", "uv", "pip", "install", "--quiet", "--python", str(PYTHON)]
    if subprocess.run([*uv, *flags, *wanted], env=environment(settings)).returncode:
        say("uv could not do that; trying pip")
        extra = [part for url in settings.get("extra-index-url", []) for part in ("--extra-index-url", url)]
        pip("install", "--quiet", *extra, *wanted)


def environment(settings: dict[str, list[str]]) -> dict[str, str]:
    """Returns the environment for uv: it reads the certificate bundle from another variable than pip."""
    certificates = {"SSL_CERT_FILE": settings["cert"][0]} if settings.get("cert") else {}
    return {**certificates, **os.environ}


def pip(*arguments: str) -> None:
    """Runs the environment's pip."""
    subprocess.run([str(PYTHON), "-m", "pip", *arguments], check=True)


def version_of(package: str) -> str | None:
    """Returns the version of a package that is installed in .venv, or None."""
    code = (
        "import importlib.metadata as m, sys\ntry: print(m.version(sys.argv[1]))\nexcept m.PackageNotFoundError: pass"
    )
    return output_of("-c", code, package) or None


def output_of(*arguments: str) -> str:
    """Runs the environment's Python from the repository root and returns what it prints."""
    done = subprocess.run([str(PYTHON), *arguments], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def say(what: str) -> None:
    """Prints one line of progress at once, also into a pipe."""
    print(f"[setup] {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
