"""Runs a workflow in a real ComfyUI over HTTP and websocket and fails unless everything in it happened."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from .comfy_program import to_api
from .server import ComfyServer, comfy_server
from .workflow import Prompt, WorkflowError, output_nodes, read_workflow, with_inputs

Progress = Callable[[str, int, int], None]
"""Called with (node class, steps done, steps in all)."""

# Output nodes of ComfyUI that save without showing anything. From any other one, silence means that it was left out or
# blocked: the server sends the same events for a blocked node as for one that ran.
SAVES_SILENTLY = frozenset({"CheckpointSave", "CLIPSave", "VAESave", "ModelSave", "SaveLoRA", "LoraSave"})
SAVES_SILENTLY |= {"LossGraphNode", "SaveImageDataSetToFolder", "SaveImageTextDataSetToFolder", "SaveTrainingDataset"}


@dataclass
class RunResult:
    """What a finished workflow left behind."""

    prompt_id: str
    files: list[Path]
    """Saved files, in the order of the output nodes; each exists and is not empty."""
    outputs: dict[str, dict[str, Any]]
    """What every output node showed: node id -> {"images": [...], "text": [...], ...}."""
    cached: set[str] = field(default_factory=set)
    """Nodes whose results came from the server's cache."""
    executed: set[str] = field(default_factory=set)
    seconds: float = 0.0


def run_workflow(
    path: str | Path,
    *,
    server: ComfyServer | None = None,
    output: Path | None = None,
    inputs: Mapping[str, Any] | None = None,
    timeout: float = 3600,
    on_progress: Progress | None = None,
    require_files: bool = True,
    silent: Collection[str] = (),
) -> RunResult:
    """Runs a workflow file of either format and returns what it saved.

    Args:
        path: UI- or API-format JSON.
        server: a running server; None starts one for this run and stops it afterwards.
        output: folder for the saved files, for a server started here.
        inputs: widgets to change, such as {"SoraTextEncode.prompt": "a red ball"} (see `with_inputs`).
        timeout: seconds until the job is interrupted.
        on_progress: called as nodes report their steps.
        require_files: fail if no file was saved at all.
        silent: classes of output nodes that show no result even if all is well, besides those of ComfyUI itself.

    Raises:
        WorkflowError: any node was rejected, failed, was interrupted or left out, or a promised file is missing.
        ServerError, ComfyUIMissingError: no server could be started.
    """
    read_workflow(Path(path))  # what is no workflow is refused before a server is fetched and started
    with nullcontext(server) if server else comfy_server(output=output) as running:
        prompt = with_inputs(to_api(Path(path), running), inputs or {})
        return run_prompt(prompt, running, timeout, on_progress, require_files, silent)


def run_prompt(
    prompt: Prompt,
    server: ComfyServer,
    timeout: float = 3600,
    on_progress: Progress | None = None,
    require_files: bool = True,
    silent: Collection[str] = (),
) -> RunResult:
    """Runs an API-format graph on a running server; arguments and errors as in `run_workflow`.

    Ctrl-C interrupts the job on the server before it reaches the caller.
    """
    job = _Job(prompt, server, on_progress or _no_progress, SAVES_SILENTLY.union(silent))
    return asyncio.run(job.run(timeout, require_files))


def _no_progress(node: str, done: int, total: int) -> None:
    pass


class _Job:
    """One graph on one server, from submission to the files on disk."""

    def __init__(self, prompt: Prompt, server: ComfyServer, on_progress: Progress, silent: Collection[str]) -> None:
        self.prompt = prompt
        self.server = server
        self.on_progress = on_progress
        self.silent = silent
        self.client_id = uuid.uuid4().hex
        self.cached: set[str] = set()
        self.executed: set[str] = set()

    async def run(self, timeout: float, require_files: bool) -> RunResult:
        start = time.monotonic()
        async with aiohttp.ClientSession(self.server.url) as http:
            try:
                # The socket comes first, so that no event of a fast graph is lost; failing nodes print long inputs.
                async with http.ws_connect("/ws", params={"clientId": self.client_id}, max_msg_size=0) as socket:
                    prompt_id = await self._submit(http)
                    await self._follow(http, socket, prompt_id, timeout)
                outputs = await self._history(http, prompt_id)
                expected = output_nodes(self.prompt, await self._json(http, "/object_info"))
            except aiohttp.ClientError as error:
                raise self._lost(error) from error
        files = self._check_outputs(expected, outputs, require_files)
        return RunResult(prompt_id, files, outputs, self.cached, self.executed, time.monotonic() - start)

    async def _submit(self, http: aiohttp.ClientSession) -> str:
        """Queues the graph and returns its id.

        The server answers 200 and drops the rejected branches when at least one output is valid: that counts as a
        rejection here.
        """
        async with http.post("/prompt", json={"prompt": self.prompt, "client_id": self.client_id}) as reply:
            text = await reply.text()
        try:
            answer = json.loads(text)
        except json.JSONDecodeError:
            answer = {"error": {"message": text.strip()[:500]}}
        if answer.get("node_errors") or "prompt_id" not in answer:
            if "prompt_id" in answer:
                await self._cancel(http, answer["prompt_id"])
            raise self._rejection(answer)
        return str(answer["prompt_id"])

    def _rejection(self, answer: Mapping[str, Any]) -> WorkflowError:
        errors: dict[str, Any] = answer.get("node_errors") or {}
        for node, found in errors.items():
            reasons = "; ".join(f"{e.get('message')}: {e.get('details')}" for e in found.get("errors", []))
            more = f" (and {len(errors) - 1} more nodes)" if len(errors) > 1 else ""
            return WorkflowError("rejected", f"The server rejected node {self._name(node)}{more}: {reasons}.", node)
        error = answer.get("error")
        said = f"{error.get('message')} {error.get('details') or ''}" if isinstance(error, dict) else str(error)
        return WorkflowError("rejected", f"The server rejected the workflow: {said.strip()}")

    async def _follow(
        self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, prompt_id: str, timeout: float
    ) -> None:
        """Reads events until the graph succeeded; on any other end the job is taken off the server."""
        try:
            async with asyncio.timeout(timeout):
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT and self._handle(json.loads(message.data), prompt_id):
                        return
        except TimeoutError:
            await self._cancel(http, prompt_id)
            raise WorkflowError("timeout", f"The workflow was interrupted after {timeout:g} s.") from None
        except (asyncio.CancelledError, WorkflowError):
            await self._cancel(http, prompt_id)
            raise
        raise self._lost("the connection was closed")

    def _handle(self, event: dict[str, Any], prompt_id: str) -> bool:
        """Takes in one event; returns True when the graph succeeded and raises when it cannot any more."""
        kind, data = event.get("type"), event.get("data") or {}
        if data.get("prompt_id") != prompt_id:
            return False
        node = data.get("node_id") or data.get("node")
        if kind == "execution_cached":
            self.cached.update(data["nodes"])
        elif kind in ("executing", "executed") and node:
            # A node that expands into others runs under new ids and shows under its own.
            self.executed.update({node, data.get("display_node") or node})
        elif kind == "progress" and node in self.prompt:
            self.on_progress(self.prompt[node]["class_type"], int(data["value"]), int(data["max"]))
        elif kind == "execution_error":
            said = f"{data.get('exception_type')}: {str(data.get('exception_message')).strip()}"
            raise WorkflowError("execution", f"Node {self._name(node)} failed with {said}", node)
        elif kind == "execution_interrupted":
            raise WorkflowError("interrupted", f"The workflow was interrupted at node {self._name(node)}.", node)
        return kind == "execution_success"

    async def _cancel(self, http: aiohttp.ClientSession, prompt_id: str) -> None:
        """Takes a job off the server, whether it waits or runs; a server that is gone needs nothing.

        A job that has just left the queue forgets an interruption as it begins, so for a moment it is asked again.
        """
        with suppress(aiohttp.ClientError, OSError):
            await http.post("/queue", json={"delete": [prompt_id]})
            for _ in range(20):
                await http.post("/interrupt", json={"prompt_id": prompt_id})
                await asyncio.sleep(0.05)
                running = (await self._json(http, "/queue"))["queue_running"]
                if all(entry[1] != prompt_id for entry in running):
                    return

    async def _history(self, http: aiohttp.ClientSession, prompt_id: str) -> dict[str, dict[str, Any]]:
        """Returns the outputs of a finished graph, which appear shortly after its last event."""
        for _ in range(100):
            entry = (await self._json(http, f"/history/{prompt_id}")).get(prompt_id)
            if entry is not None:
                outputs: dict[str, dict[str, Any]] = entry["outputs"]
                return outputs
            await asyncio.sleep(0.05)
        raise WorkflowError("server", "The server finished the workflow but keeps no record of it.")

    async def _json(self, http: aiohttp.ClientSession, route: str) -> Any:
        async with http.get(route) as reply:
            return await reply.json()

    def _check_outputs(
        self, expected: list[str], outputs: Mapping[str, Mapping[str, Any]], require_files: bool
    ) -> list[Path]:
        """Returns the saved files, after checking that every output node did its part."""
        for node in expected:
            quiet = self.prompt[node]["class_type"] in self.silent
            if node not in outputs and not (quiet and node in self.executed | self.cached):
                said = (
                    f"Output node {self._name(node)} showed no result: it was left out, or a node before it blocked it."
                )
                raise WorkflowError("missing_output", said, node)
        files = []
        order = {node: place for place, node in enumerate(self.prompt)}
        for node in sorted(outputs, key=lambda node: order.get(node, len(order))):
            for path in saved_files(outputs[node], self.server.output):
                if not path.is_file() or path.stat().st_size == 0:
                    raise WorkflowError("missing_output", f"Node {self._name(node)} did not write {path}.", node)
                files.append(path)
        if require_files and not files:
            raise WorkflowError("missing_output", "The workflow ended well but saved no file.")
        return files

    def _name(self, node: str | None) -> str:
        known = self.prompt.get(str(node), {}).get("class_type")
        return f"{node} ({known})" if known else str(node)

    def _lost(self, reason: object) -> WorkflowError:
        return WorkflowError("server", f"The server went away ({reason}); its log ends with:\n{self.server.log_tail()}")


def saved_files(shown: Mapping[str, Any], output: Path) -> list[Path]:
    """Returns the files in one node's outputs that were saved for good; previews in the temp folder are left out."""
    items = [item for value in shown.values() if isinstance(value, list) for item in value]
    saved = [item for item in items if isinstance(item, dict) and item.get("type") == "output" and "filename" in item]
    return [output / item.get("subfolder", "") / item["filename"] for item in saved]
