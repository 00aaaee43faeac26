"""Workflow files: telling the formats apart, refusing what is neither, changing widgets."""

import json

import pytest

from sora_core.headless.workflow import WorkflowError, output_nodes, read_workflow, with_inputs


def test_formats_are_told_apart(workflows):
    assert read_workflow(workflows / "image.json")[0] == "ui"
    assert read_workflow(workflows / "api" / "image.json")[0] == "api"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"1": {"inputs": {}}}', '"text"', "\x00"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(WorkflowError, match=r"file\.json") as caught:
        read_workflow(path)
    assert caught.value.kind == "file"


def test_binary_file_is_refused(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(WorkflowError, match="cannot be read as JSON"):
        read_workflow(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WorkflowError, match=r"no workflow at .*nothing\.json"):
        read_workflow(tmp_path / "nothing.json")


def test_inputs_are_found_by_id_class_and_title_and_the_original_stays(workflows, chain):
    prompt = chain()
    prompt["1"]["_meta"] = {"title": "Canvas"}
    before = json.dumps(prompt)
    for name in ("1", "EmptyImage", "Canvas"):
        assert with_inputs(prompt, {f"{name}.width": 7})["1"]["inputs"]["width"] == 7
    assert json.dumps(prompt) == before


def test_inputs_of_a_choice_have_points_in_their_names(chain):
    prompt = chain()
    prompt["1"]["inputs"]["codec.encoding.crf"] = 20
    prompt["1"]["_meta"] = {"title": "Canvas 1.5"}
    for name in ("1", "EmptyImage", "Canvas 1.5"):
        assert with_inputs(prompt, {f"{name}.codec.encoding.crf": 7})["1"]["inputs"]["codec.encoding.crf"] == 7


@pytest.mark.parametrize(
    ("key", "said"), [("Nobody.width", "fits 0 nodes"), ("1.depth", "no input depth; it has width, height")]
)
def test_unknown_inputs_are_refused(chain, key, said):
    with pytest.raises(WorkflowError, match=said):
        with_inputs(chain(), {key: 1})


def test_ambiguous_input_is_refused(chain):
    prompt = chain(("TestBlock", {}), ("TestBlock", {}))
    with pytest.raises(WorkflowError, match="fits 2 nodes"):
        with_inputs(prompt, {"TestBlock.image": 1})


def test_output_nodes_are_those_the_server_calls_so(chain):
    info = {"SaveImage": {"output_node": True}, "EmptyImage": {"output_node": False}}
    assert output_nodes(chain(), info) == ["2"]
