"""Model files: whole ones load with exactly their weights, faulty ones are refused by the name of their fault."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sora_core.checkpoint import (
    BUNDLED,
    CONFIG_BUFFER,
    config_from_tensor,
    config_tensor,
    read_checkpoint,
    save_checkpoint,
)
from sora_core.pipeline import Sora

WEIGHT = "model.diffusion_model.blocks.3.down.weight"


@pytest.fixture
def tensors(nano_file):
    return load_file(nano_file)


def test_a_file_loads_with_exactly_the_weights_it_was_saved_with(nano, tmp_path):
    parts = {"dit": nano.dit, "vae": nano.vae, "text": nano.text}
    weights = {part: module.state_dict() for part, module in parts.items()}
    save_checkpoint(tmp_path / "copy.safetensors", nano.config, weights, about={"note": 1}, dtype=torch.float32)
    checkpoint = read_checkpoint(tmp_path / "copy.safetensors")
    assert checkpoint.config == nano.config
    assert json.loads(checkpoint.metadata["about"]) == {"note": 1}
    for part, saved in weights.items():
        assert checkpoint.parts[part].keys() == saved.keys()
        assert all(torch.equal(checkpoint.parts[part][name], value) for name, value in saved.items())


def test_the_configuration_survives_programs_that_drop_the_header(tensors, tmp_path, nano):
    save_file(tensors, tmp_path / "bare.safetensors")
    assert read_checkpoint(tmp_path / "bare.safetensors").config == nano.config


def test_the_configuration_can_come_from_the_header_alone(tensors, nano_file, tmp_path, nano):
    with safe_open(nano_file, framework="pt") as file:
        header = file.metadata()
    kept = {name: value for name, value in tensors.items() if not name.endswith(CONFIG_BUFFER)}
    save_file(kept, tmp_path / "header.safetensors", header)
    assert read_checkpoint(tmp_path / "header.safetensors").config == nano.config


def test_a_configuration_tensor_round_trips_as_half_precision_too(nano):
    assert config_from_tensor(config_tensor(nano.config).half()) == nano.config


def test_weights_that_comfyui_saved_in_8_bits_are_read(tensors, tmp_path, nano):
    tensors[WEIGHT] = tensors[WEIGHT].to(torch.float8_e4m3fn)
    save_file(tensors, tmp_path / "small.safetensors")
    found = Sora.load(tmp_path / "small.safetensors").dit.blocks[3].down.weight
    torch.testing.assert_close(found, nano.dit.blocks[3].down.weight, rtol=0.07, atol=0.002)


def change(tensors, name, value):
    tensors[name] = value


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (lambda t: t.pop(WEIGHT), f"is incomplete: it holds no tensor {WEIGHT}"),
        (lambda t: change(t, WEIGHT, t[WEIGHT][:-1]), f"tensor {WEIGHT} is .* its configuration needs"),
        (lambda t: t[WEIGHT].view(-1)[5].fill_(float("nan")), f"tensor {WEIGHT} holds NaN or infinite weights"),
        (lambda t: t[WEIGHT].view(-1)[5].fill_(float("inf")), f"tensor {WEIGHT} holds NaN or infinite weights"),
        (lambda t: change(t, WEIGHT, (t[WEIGHT] * float("nan")).to(torch.float8_e4m3fn)), f"{WEIGHT} holds NaN"),
        (lambda t: change(t, WEIGHT, t[WEIGHT].int()), f"tensor {WEIGHT} is torch.int32"),
        (lambda t: change(t, "vae.extra", torch.ones(1)), "tensor vae.extra belongs to no part"),
        (lambda t: t.pop("text_encoders.sora.entry.weight"), "no tensor text_encoders.sora.entry.weight"),
        (
            lambda t: change(t, "model.diffusion_model." + CONFIG_BUFFER, torch.zeros(9, dtype=torch.uint8)),
            "SoraConfig in the file is not JSON",
        ),
    ],
)
def test_a_faulty_file_is_refused_in_one_sentence_that_names_the_tensor(tensors, tmp_path, fault, sentence):
    fault(tensors)
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "faulty.safetensors")
    with pytest.raises(ValueError, match=sentence) as caught:
        read_checkpoint(tmp_path / "faulty.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(nano_file, tmp_path, share):
    whole = nano_file.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"cut.safetensors is damaged or not a safetensors file"):
        read_checkpoint(tmp_path / "cut.safetensors")


def test_a_model_of_another_family_is_refused(tmp_path):
    save_file({"transformer.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"is not a Sora checkpoint: it holds no model\.diffusion_model\.sora_config"):
        read_checkpoint(tmp_path / "other.safetensors")


def test_a_model_of_another_size_than_its_configuration_is_refused(tensors, tmp_path, nano):
    values = json.loads(bytes(config_tensor(nano.config).tolist()))
    values["dit"]["hidden"] = 448
    buffer = torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8)
    save_file(tensors | {"model.diffusion_model." + CONFIG_BUFFER: buffer}, tmp_path / "mixed.safetensors")
    with pytest.raises(ValueError, match=r"tensor model.diffusion_model.blocks.0.gate_up.weight is \(768, 128\)"):
        read_checkpoint(tmp_path / "mixed.safetensors")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=path.name):
            Sora.load(path)


@pytest.mark.skipif(not BUNDLED.exists(), reason="the model is not in this copy")
def test_the_bundled_model_is_whole_and_below_40_megabytes():
    assert read_checkpoint(BUNDLED).config.name == "mini"
    assert BUNDLED.stat().st_size < 40e6


def test_loading_a_model_does_not_import_the_compiler(nano_file):
    code = (
        "import sys; from pathlib import Path; from sora_core.pipeline import Sora; Sora.load(Path(sys.argv[1]));"
        " print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, nano_file], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
