"""Reads a workflow file of either format and answers what a graph should produce (standard library only)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Prompt = dict[str, dict[str, Any]]
"""API format: node id -> {"class_type": name, "inputs": {name: value or [node id, output index]}}."""


class WorkflowError(RuntimeError):
    """A workflow did not do all that it was asked to do.

    Attributes:
        kind: "file", "rejected", "execution", "interrupted", "timeout", "missing_output" or "server".
        node: id of the node at fault, if there is one.
    """

    def __init__(self, kind: str, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.node = node


def read_workflow(path: Path) -> tuple[str, dict[str, Any]]:
    """Returns ("ui" or "api", content) of a workflow file.

    Raises:
        WorkflowError: the file is missing, is not JSON, or is neither format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkflowError("file", f"There is no workflow at {path}.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WorkflowError("file", f"{path} cannot be read as JSON: {error}.") from error
    kind = workflow_format(content)
    if kind is None:
        raise WorkflowError("file", f"{path} is JSON, but neither a ComfyUI workflow nor its API format.")
    return kind, content


def workflow_format(content: Any) -> str | None:
    """Tells "ui" (what the browser saves), "api" (what the server runs) or None."""
    if not isinstance(content, dict) or not content:
        return None
    if isinstance(content.get("nodes"), list) and "links" in content:
        return "ui"
    if all(isinstance(node, dict) and "class_type" in node for node in content.values()):
        return "api"
    return None


def api_twin(path: Path) -> Path | None:
    """Returns the API-format file that the repository keeps beside a UI workflow, if there is one."""
    twin = path.parent / "api" / path.name
    return twin if twin.is_file() else None


def output_nodes(prompt: Prompt, object_info: Mapping[str, Any]) -> list[str]:
    """Returns the ids of the nodes that save or show something, by the server's own description of them."""
    return [key for key, node in prompt.items() if object_info.get(node["class_type"], {}).get("output_node")]


def with_inputs(prompt: Prompt, inputs: Mapping[str, Any]) -> Prompt:
    """Returns a copy of `prompt` with some widgets changed; keys read "node id or class or title" + "." + input name.

    Raises:
        WorkflowError: a key fits no node, more than one, or names an input the node does not have.
    """
    changed = {key: {**node, "inputs": dict(node.get("inputs", {}))} for key, node in prompt.items()}
    known = {name for node_id, node in changed.items() for name in _names(node_id, node)}
    for key, value in inputs.items():
        # Choices with inputs of their own have points in them: "SaveVideo.codec.encoding" is an input of SaveVideo.
        name = max((n for n in known if key.startswith(f"{n}.")), key=len, default=key.rpartition(".")[0])
        field = key[len(name) + 1 :]
        fits = [node for node_id, node in changed.items() if name in _names(node_id, node)]
        if len(fits) != 1:
            raise WorkflowError("file", f"{key} fits {len(fits)} nodes of the workflow; it has to fit exactly one.")
        if field not in fits[0]["inputs"]:
            raise WorkflowError("file", f"{name} has no input {field}; it has {', '.join(fits[0]['inputs'])}.")
        fits[0]["inputs"][field] = value
    return changed


def _names(node_id: str, node: Mapping[str, Any]) -> set[str]:
    return {node_id, node["class_type"], node.get("_meta", {}).get("title", node_id)}
