"""comfy-cli as a program on the same server: what `make demo` relies on."""

import json
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

from sora_core.headless import comfy_program as comfy_program_module
from sora_core.headless.comfy_program import comfy_program, run_with_comfy_cli, to_api
from sora_core.headless.workflow import WorkflowError


def test_ui_workflow_runs_and_returns_its_file(server, workflows):
    (file,) = run_with_comfy_cli(workflows / "image.json", server)
    assert Image.open(file).size == (32, 24)


def test_conversion_equals_the_twin(server, workflows):
    converted = to_api(workflows / "image.json", server)
    for node in converted.values():
        node.pop("_meta", None)
    assert converted == json.loads((workflows / "api" / "image.json").read_text())


def test_texts_may_hold_ends_of_lines_that_are_none_in_json(server, workflows, tmp_path):
    content = json.loads((workflows / "image.json").read_text())
    saver = next(node for node in content["nodes"] if node["type"] == "SaveImage")
    saver["widgets_values"] = ["pasted\u2028from\u0085elsewhere"]
    path = tmp_path / "pasted.json"
    path.write_text(json.dumps(content))
    texts = [node["inputs"].get("filename_prefix") for node in to_api(path, server).values()]
    assert saver["widgets_values"][0] in texts


def test_a_workflow_is_not_at_fault_when_comfy_cli_is_missing(workflows, tmp_path, monkeypatch):
    path = shutil.copy(workflows / "image.json", tmp_path)
    monkeypatch.setattr(comfy_program_module, "comfy_program", lambda: None)
    with pytest.raises(WorkflowError, match="needs comfy-cli: install the extra") as caught:
        to_api(Path(path), None)
    assert caught.value.kind == "server"


def test_partly_invalid_graph_fails(server, chain, tmp_path):
    prompt = chain()
    prompt["9"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "dropped"}}
    path = tmp_path / "partly.json"
    path.write_text(json.dumps(prompt))
    with pytest.raises(WorkflowError, match=r"node 9.*images"):
        run_with_comfy_cli(path, server)


def test_failing_node_is_reported(server, chain, tmp_path):
    path = tmp_path / "fail.json"
    path.write_text(json.dumps(chain(("TestFail", {}))))
    with pytest.raises(WorkflowError, match="the picture is too blue"):
        run_with_comfy_cli(path, server)


def test_the_program_is_found_in_the_folder_of_scripts(tmp_path, monkeypatch):
    # As in ComfyUI for Windows: the interpreter lies beside that folder, and neither is on PATH.
    program = tmp_path / "Scripts" / "comfy"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / name.capitalize()))
    monkeypatch.setenv("PATH", "")
    assert comfy_program() == str(program)
