"""What saved workflows rely on: ids, inputs and outputs of the blocks never change, they are only added to."""

import json
import os
import re
from pathlib import Path

import pytest

SNAPSHOT = Path(__file__).with_name("contract.json")
RENEW = "SORA_RENEW_CONTRACT"
VARIES = {
    ("SoraLoadModel", "checkpoint"),
    ("SoraTrain", "checkpoint"),
    ("SoraLoadClips", "folder"),
    ("SoraSampler", "sampler"),
    ("SoraLongVideoSampler", "sampler"),
    ("SoraPlayWorld", "sampler"),
}
"""Combos whose choices depend on the installation."""


def describe(node_id, block):
    schema = block.define_schema()
    inputs = []
    for i in schema.inputs:
        entry = {"id": i.id, "type": str(i.get_io_type()), "optional": bool(i.optional)}
        entry |= {key: getattr(i, key) for key in ("default", "min", "max") if getattr(i, key, None) is not None}
        if getattr(i, "options", None) and (node_id, i.id) not in VARIES:
            entry["options"] = list(i.options)
        inputs.append(entry)
    return {"inputs": inputs, "outputs": [{"type": str(o.io_type), "name": o.display_name} for o in schema.outputs]}


@pytest.fixture(scope="module")
def blocks(comfy, pack):
    return {name: block for name, block in comfy.NODE_CLASS_MAPPINGS.items() if name.startswith("Sora")}


@pytest.fixture(scope="module")
def described(blocks):
    return {name: describe(name, block) for name, block in sorted(blocks.items())}


@pytest.fixture(scope="module")
def promised(described):
    if os.environ.get(RENEW):
        SNAPSHOT.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n")
    return json.loads(SNAPSHOT.read_text())


def test_nothing_promised_was_removed_or_reordered(described, promised):
    for name, old in promised.items():
        assert name in described, f"{name} is gone; workflows that use it break"
        new = described[name]
        assert new["outputs"][: len(old["outputs"])] == old["outputs"], f"outputs of {name} moved"
        ids = [i["id"] for i in new["inputs"]]
        assert ids[: len(old["inputs"])] == [i["id"] for i in old["inputs"]], f"inputs of {name} moved"
        for before, after in zip(old["inputs"], new["inputs"], strict=False):
            assert after["type"] == before["type"]
            assert after.get("default") == before.get("default"), f"{name}.{before['id']} has another default"
            assert set(before.get("options", ())) <= set(after.get("options", ()))
            assert before["optional"] <= after["optional"]
            for end, widest in (("min", min), ("max", max)):
                if end in after:
                    kept = before.get(end)
                    assert kept is not None, f"{name}.{before['id']} has a {end} that it had not"
                    assert widest(kept, after[end]) == after[end], f"{name}.{before['id']} takes less than before"


def test_additions_are_recorded(described, promised):
    assert described == promised, f"run once with {RENEW}=1 and commit contract.json"


def test_everything_has_a_tooltip(blocks):
    for name, block in blocks.items():
        schema = block.define_schema()
        assert schema.description.endswith("."), name
        for part in (*schema.inputs, *schema.outputs):
            assert part.tooltip, f"{name}: {part.id or part.display_name} has no tooltip"


def test_ids_are_ours_and_in_one_category(blocks):
    assert len(blocks) >= 7
    assert {block.define_schema().category.split("/")[0] for block in blocks.values()} == {"Sora"}


def test_what_panels_show_is_told_to_a_page_that_was_loaded_again(blocks, pack, root, monkeypatch):
    """As an output block, or by a field of ComfyUI from 0.19 on, which is given to the versions that know it."""
    monkeypatch.setattr(pack.nodes.schema, "takes", lambda _, name: name != "advanced")
    monkeypatch.setattr(pack.nodes.schema.io, "Schema", lambda **fields: fields)
    panels = (root / "web" / "js" / "panels.js").read_text("utf-8")
    shown = re.findall(r"(\w+): \{ height: \d+, show: last(?:Video|Text) \}", panels)
    assert len(shown) == 8
    for name in shown:
        fields = blocks[name].define_schema()
        assert fields.get("is_output_node") or fields.get("has_intermediate_output"), name
