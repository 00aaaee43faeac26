"""Drives comfy-cli as a program: converts UI workflows to the API format and runs them (standard library only).

comfy-cli is GPL-3, so it is started as a process and never imported.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .server import ComfyServer
from .workflow import Prompt, WorkflowError, api_twin, read_workflow

Event = dict[str, Any]


def comfy_program() -> str | None:
    """Returns the path of the `comfy` program: where this interpreter's packages put theirs first, then on PATH."""
    own = (Path(sys.executable).parent, sysconfig.get_path("scripts"))  # a folder beside it in ComfyUI for Windows
    return shutil.which("comfy", path=os.pathsep.join(map(str, own))) or shutil.which("comfy")


def comfy_environment() -> dict[str, str]:
    """Returns the environment for comfy-cli: no tracking, no background watcher, no colours in what it prints."""
    return {**os.environ, "DO_NOT_TRACK": "1", "COMFY_NO_WATCH": "1", "NO_COLOR": "1", "PYTHONUTF8": "1"}


def to_api(path: Path, server: ComfyServer) -> Prompt:
    """Returns the API form of a workflow file of either format.

    A UI file is converted by comfy-cli with the node descriptions of the running server; without comfy-cli its twin in
    `api/` serves.

    Raises:
        WorkflowError: the file is unusable, or cannot be converted.
    """
    kind, content = read_workflow(path)
    if kind == "api":
        return content
    if comfy_program() is None:
        twin = api_twin(path)
        if twin is None:
            raise WorkflowError(
                "server", f"{path} is in UI format, and converting it needs comfy-cli: install the extra 'headless'."
            )
        return read_workflow(twin)[1]
    for event in _comfy_run(path, server, ["--print-prompt"], deadline=120):
        if event.get("type") == "prompt_preview":
            return event["prompt"]
    raise WorkflowError("file", f"comfy-cli did not convert {path}.")


def run_with_comfy_cli(path: Path, server: ComfyServer, deadline: float = 1800) -> list[Path]:
    """Runs a workflow with `comfy run --wait --json` and returns the files it saved.

    comfy-cli ends with code 0 when the server drops part of a graph, so its warnings count as failures here.

    Args:
        path: workflow in either format.
        server: where to run it.
        deadline: seconds until the job is interrupted.

    Raises:
        WorkflowError: a warning, an error, or no saved file.
    """
    files: list[Path] = []
    for event in _comfy_run(path, server, ["--wait", "--timeout", "300"], deadline):
        if event.get("validation_warnings"):
            raise WorkflowError("rejected", f"The server dropped part of {path}: {event['validation_warnings']}.")
        if event.get("type") == "executed":
            files += [_local_file(item, server) for item in event["outputs"] if item.get("type") == "output"]
    missing = [str(file) for file in files if not file.is_file() or file.stat().st_size == 0]
    if missing or not files:
        raise WorkflowError(
            "missing_output", f"{path} ended without its files: {', '.join(missing) or 'none was saved'}."
        )
    return files


def _local_file(item: Event, server: ComfyServer) -> Path:
    query = parse_qs(urlsplit(item.get("url", "")).query)
    folder = item.get("subfolder") or query.get("subfolder", [""])[0]
    return server.output / folder / item["filename"]


def _comfy_run(path: Path, server: ComfyServer, flags: Iterable[str], deadline: float) -> list[Event]:
    """Runs `comfy run` and returns its events; anything but a closing "ok" is a WorkflowError."""
    program = comfy_program()
    if program is None:
        raise WorkflowError("server", "comfy-cli is not installed: install the extra 'headless'.")
    command = [program, "--skip-prompt", "--where", "local", "run", "--workflow", str(path), "--json", *flags]
    command += ["--host", server.host, "--port", str(server.port)]
    direct = {"NO_PROXY": server.host, "no_proxy": server.host}
    environment = {**comfy_environment(), **direct, "COMFY_LOCAL_URL": server.url}
    try:
        # On a timeout subprocess.run kills the program: comfy-cli may ignore gentler signals while it waits.
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=deadline,
        )
    except subprocess.TimeoutExpired:
        server.post("/interrupt")
        raise WorkflowError("timeout", f"{path} was interrupted after {deadline:.0f} s.") from None
    # Not splitlines: texts of a workflow may hold other ends of lines, such as U+2028, which JSON leaves as they are.
    events = [json.loads(line) for line in done.stdout.split("\n") if line.startswith("{")]
    envelope = events[-1] if events else {}
    if done.returncode or not envelope.get("ok"):
        raise _failure(path, envelope, done.stderr)
    return events


def _failure(path: Path, envelope: Event, stderr: str) -> WorkflowError:
    error = envelope.get("error") or {}
    details = error.get("details") or {}
    said = " ".join(str(part) for part in (error.get("message"), error.get("hint")) if part)
    node = details.get("node_id") if isinstance(details, dict) else None
    kind = "execution" if node else "rejected"
    return WorkflowError(
        kind, f"comfy run failed on {path}: {said or stderr.strip()[-500:] or 'it said nothing'}", node
    )
