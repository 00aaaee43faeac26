"""Starts a ComfyUI server as a child process on a free port of the loopback interface and stops it again."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .comfyui import CACHE, extra_python_path, find_or_fetch, make_base_directory

# A proxy of the environment is for other machines, and urllib would ask it for this one too.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerError(RuntimeError):
    """The server did not start or did not answer; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class ComfyServer:
    """A running ComfyUI that this process started."""

    host: str
    port: int
    base: Path
    """Base directory: custom_nodes, models, input, user, temp."""
    output: Path
    """Folder into which output nodes save."""
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Root of the HTTP interface, without a trailing slash."""
        return f"http://{self.host}:{self.port}"

    def get(self, route: str, timeout: float = 60) -> Any:
        """Returns the JSON of a GET route such as "/object_info"."""
        with DIRECT.open(self.url + route, timeout=timeout) as reply:
            return json.load(reply)

    def post(self, route: str, body: Any = None, timeout: float = 60) -> None:
        """Sends JSON to a POST route such as "/interrupt"."""
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(self.url + route, data, {"Content-Type": "application/json"})
        with DIRECT.open(request, timeout=timeout):
            pass

    def log_tail(self, lines: int = 15) -> str:
        """Returns the last lines of the server's log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        return "\n".join(text.splitlines()[-lines:])


@contextmanager
def comfy_server(
    comfyui: Path | None = None,
    base: Path | None = None,
    output: Path | None = None,
    extra_args: Sequence[str] = (),
    ready_timeout: float = 180,
) -> Iterator[ComfyServer]:
    """Runs a ComfyUI with the pack linked in it for the length of a `with` block.

    Args:
        comfyui: root of the ComfyUI; None finds or fetches one.
        base: base directory, created if missing; None uses the one in the cache.
        output: folder for saved files; None uses `base/output`.
        extra_args: further arguments of ComfyUI's main.py.
        ready_timeout: seconds to wait for the first answer.

    Raises:
        ServerError: the server ended, or did not answer in time.
    """
    base = make_base_directory((base or CACHE / "base").resolve())  # without a pack nothing is fetched
    comfyui = comfyui or find_or_fetch()
    output = (output or base / "output").resolve()
    output.mkdir(parents=True, exist_ok=True)
    # ComfyUI empties its temp folder at start and exit, so servers that share a base directory may not share that one.
    with tempfile.TemporaryDirectory(prefix="sora-server-", ignore_cleanup_errors=True) as scratch:
        server = _start(comfyui, base, output, Path(scratch), extra_args)
        try:
            _wait_until_ready(server, ready_timeout)
            yield server
        finally:
            stop(server.process)


def _start(comfyui: Path, base: Path, output: Path, scratch: Path, extra_args: Sequence[str]) -> ComfyServer:
    host, port = "127.0.0.1", free_port()
    log = scratch / "server.log"
    command = [sys.executable, str(comfyui / "main.py"), "--listen", host, "--port", str(port)]
    command += ["--base-directory", str(base), "--output-directory", str(output)]
    command += ["--temp-directory", str(scratch)]
    command += ["--database-url", "sqlite:///:memory:", "--disable-api-nodes", "--disable-auto-launch"]
    if not _has_accelerator():
        command.append("--cpu")
    with log.open("wb") as sink:
        # A session of its own, on Windows a group, keeps Ctrl-C away from the child: the job is interrupted first, the
        # server stopped then.
        process = subprocess.Popen(
            [*command, *extra_args],
            cwd=base,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    return ComfyServer(host, port, base, output, log, process)


def _has_accelerator() -> bool:
    """Tells whether torch can use a card of any maker; ComfyUI must be told when it cannot."""
    import torch

    return any(kind.is_available() for kind in (torch.cuda, torch.backends.mps, torch.xpu))


def _environment() -> dict[str, str]:
    """Returns the server's environment: no PYTHONPATH of the caller, an empty torchvision if there is none."""
    environment = {**os.environ, "DO_NOT_TRACK": "1", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    return {**environment, "PYTHONPATH": os.pathsep.join(extra_python_path())}


def free_port() -> int:
    """Returns a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: ComfyServer, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise ServerError(f"ComfyUI ended with code {server.process.returncode} at start:\n{server.log_tail()}")
        try:
            server.get("/system_stats", timeout=5)
            return
        except (OSError, urllib.error.URLError, ValueError):
            time.sleep(0.2)
    raise ServerError(f"ComfyUI did not answer within {timeout:.0f} s:\n{server.log_tail()}")


def stop(process: subprocess.Popen[bytes], patience: float = 10) -> None:
    """Ends a child process: politely first, by force after `patience` seconds."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
