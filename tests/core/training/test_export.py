"""Export: the averaged weights of three runs become one model file that generates."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sora_core.checkpoint import BUNDLED, build_parts, read_checkpoint, save_checkpoint
from sora_core.cli import main
from sora_core.config import preset
from sora_core.pipeline import Sora
from sora_core.shapes import VideoShape
from sora_core.training.critic import load_critic
from sora_core.training.export import MODULATION, averaged_weights, export, trained_parts
from sora_core.training.optimizer import build_optimizer
from sora_core.training.reading import AttributeReader
from sora_core.training.state import save_state


@pytest.fixture
def runs(nano, tmp_path):
    """Folders of three runs that ended after 12 steps, their averages being the nano model."""
    modules = {"vae": nano.vae}
    for part, inner in (("text", "encoder"), ("dit", "dit")):
        reader = AttributeReader(getattr(nano.config, part).width, torch.Generator().manual_seed(0))
        modules[part] = torch.nn.ModuleDict({inner: getattr(nano, part), "reader": reader})
    folders = {}
    for part, module in modules.items():
        ema = {name: value.detach().clone() for name, value in module.named_parameters()}
        folders[part] = tmp_path / part
        optimizer = build_optimizer(module.named_parameters(), 0.1)
        save_state(folders[part] / "state.safetensors", module, ema, optimizer, 12, {})
    return folders


def states(runs):
    return {part: run / "state.safetensors" for part, run in runs.items()}


def test_an_exported_model_has_the_averages_in_half_precision_and_generates(runs, nano, tmp_path):
    export(states(runs), "nano", tmp_path / "model.safetensors")
    checkpoint = read_checkpoint(tmp_path / "model.safetensors")
    assert '"dit": "12 steps"' in checkpoint.metadata["about"]
    for part in ("vae", "text", "dit"):
        for name, value in getattr(nano, part).state_dict().items():
            assert torch.equal(checkpoint.parts[part][name], value.half())
    latent = Sora.load(tmp_path / "model.safetensors").sample(
        ["a duck"], VideoShape(num_frames=1, height=16, width=16), [1], steps=2
    )
    assert torch.isfinite(latent).all()


def test_averaged_weights_hold_on_to_no_file(runs):
    # Windows would let no training save its next state over a file that is mapped to memory.
    state = states(runs)["dit"]
    weights, _ = averaged_weights(state, "dit.")
    expected = {name: value.clone() for name, value in weights.items()}
    with state.open("r+b") as file:
        file.write(bytes(state.stat().st_size))
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())


def test_parts_without_a_run_are_those_of_the_file_it_started_from(runs, nano, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    dit = {"dit": states(runs)["dit"]}
    with pytest.raises(ValueError, match="there is no training of vae and text; give its run or a model file"):
        export(dit, "nano", second)
    export(states(runs), "nano", first)
    export(dit, "nano", second, base=first)
    old, new = read_checkpoint(first), read_checkpoint(second)
    assert all(torch.equal(new.parts["vae"][name], value) for name, value in old.parts["vae"].items())
    assert json.loads(new.metadata["about"]) == {
        "vae": "12 steps", "text": "12 steps", "dit": "12 steps, then 12 steps", "tokens": f"{2 * 12 * 4096:,}",
    }  # fmt: skip
    with pytest.raises(ValueError, match="its configuration needs"):
        export({}, "mini", tmp_path / "third.safetensors", base=first)


def test_a_transformer_may_be_the_mean_of_several_files(runs, nano, tmp_path):
    first, second, mean = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "mean"))
    export(states(runs), "nano", first)
    checkpoint = read_checkpoint(first)
    tripled = {name: 3 * value for name, value in checkpoint.parts["dit"].items()}
    save_checkpoint(second, nano.config, {**checkpoint.parts, "dit": tripled}, about={})
    assert main(["export", "--base", str(first), "--average", str(second), "--out", str(mean)]) == 0
    found = read_checkpoint(mean)
    assert json.loads(found.metadata["about"])["dit"] == "12 steps, averaged with second"
    for name, value in checkpoint.parts["dit"].items():
        torch.testing.assert_close(found.parts["dit"][name], 2 * value)
    assert all(torch.equal(found.parts["vae"][name], value) for name, value in checkpoint.parts["vae"].items())


def test_the_training_of_a_file_counts_for_what_began_with_its_weights_alone(runs, nano, tmp_path):
    first, second, fresh = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "state"))
    export(states(runs), "nano", first)
    module = torch.nn.ModuleDict({"dit": nano.dit})
    ema = {name: value.detach().clone() for name, value in module.named_parameters()}
    save_state(fresh, module, ema, build_optimizer(module.named_parameters(), 0.1), 5, {"fresh": True})
    export({"dit": fresh}, "nano", second, base=first)
    about = json.loads(read_checkpoint(second).metadata["about"])
    assert (about["dit"], about["tokens"], about["vae"]) == ("5 steps", f"{5 * 4096:,}", "12 steps")
    for options in ({"blend": 0.5}, {"keep_modulation": True}):
        with pytest.raises(ValueError, match=r"began with random weights, not with .* so no blend of both"):
            export({"dit": fresh}, "nano", tmp_path / "mixed.safetensors", base=first, **options)


def test_a_blend_lies_between_the_training_and_the_file_it_started_from(runs, nano, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    export(states(runs), "nano", first)
    base = read_checkpoint(first)
    halved = {part: {k: v / 2 for k, v in weights.items()} for part, weights in base.parts.items()}
    save_checkpoint(first, base.config, halved, about={"text": "3 steps"})
    export({"text": states(runs)["text"]}, "nano", second, base=first, blend=0.5)
    mixed = read_checkpoint(second)
    for name, value in nano.text.state_dict().items():
        torch.testing.assert_close(mixed.parts["text"][name].float(), 0.75 * value, atol=2e-3, rtol=2e-3)
    assert json.loads(mixed.metadata["about"])["text"] == "3 steps, then 12 steps, blended at 0.5"
    with pytest.raises(ValueError, match="needs a base"):
        export(states(runs), "nano", second, blend=0.5)
    with pytest.raises(ValueError, match="no training was given to blend"):
        export({}, None, second, base=first, blend=0.5, average=[first])


def test_a_modulation_that_is_kept_is_that_of_the_base(runs, nano, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    export(states(runs), "nano", first)
    base = read_checkpoint(first)
    halved = {part: {k: v / 2 for k, v in weights.items()} for part, weights in base.parts.items()}
    save_checkpoint(first, base.config, halved, about={})
    export({"dit": states(runs)["dit"]}, None, second, base=first, keep_modulation=True)
    made = read_checkpoint(second)
    for name, value in nano.dit.state_dict().items():
        share = 0.5 if name.startswith(MODULATION) else 1
        torch.testing.assert_close(made.parts["dit"][name].float(), share * value, atol=2e-3, rtol=2e-3)
    assert {name.partition(".")[0] + "." for name in made.parts["dit"]} > set(MODULATION)
    assert json.loads(made.metadata["about"])["dit"] == "12 steps, modulation kept"
    with pytest.raises(ValueError, match="the modulation to keep is a base's"):
        export(states(runs), "nano", second, keep_modulation=True)


def test_a_blend_with_a_model_of_another_size_names_the_tensor_that_differs(runs, tmp_path):
    out = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match="sora-mini"):
        export(states(runs), "nano", out, base=BUNDLED, blend=0.5)
    assert not out.exists()


def test_trained_parts_are_the_averages_of_their_runs(runs, nano):
    vae, text = trained_parts(nano.config, runs["vae"], runs["text"])
    video = torch.rand(1, 3, 5, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(vae.encode(video), nano.vae.encode(video))
    assert torch.equal(text.encode(["a duck"])[0], nano.text.encode(["a duck"])[0])


def test_parts_without_a_run_are_those_of_the_model_that_training_starts_from(runs, nano, tmp_path):
    export(states(runs), "nano", tmp_path / "model.safetensors")
    vae, text = trained_parts(nano.config, None, None, tmp_path / "model.safetensors")
    held = read_checkpoint(tmp_path / "model.safetensors").parts
    for part, module in (("vae", vae), ("text", text)):
        assert all(torch.equal(module.state_dict()[name], value.float()) for name, value in held[part].items())


def test_what_reads_no_text_is_trained_without_a_text_encoder(runs, clips, tmp_path):
    command = ["train", "critic", "--preset", "nano", "--data", clips, "--vae", runs["vae"], "--steps", 1]
    assert main([*map(str, command), "--out", str(tmp_path / "critic")]) == 0
    assert load_critic(tmp_path / "critic" / "critic.safetensors", preset("nano").vae.channels)


def test_an_export_of_nothing_and_to_nowhere_is_refused_before_the_work(runs, nano_file, tmp_path, capsys):
    assert main(["export", "--base", str(nano_file), "--blend", "0.5", "--out", str(tmp_path / "a.safetensors")]) == 2
    assert "no training was given to export" in capsys.readouterr().err
    assert main(["export", "--base", str(nano_file), "--dit", str(runs["dit"]), "--out", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder; give the name of a file" in capsys.readouterr().err


def test_runs_of_another_preset_are_refused_by_the_name_of_a_tensor(runs, tmp_path):
    with pytest.raises(ValueError, match=r"tensor ema\.encoder\..* its configuration needs"):
        export(states(runs), "mini", tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


def test_what_is_no_training_state_is_refused(runs, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no training state"):
        averaged_weights(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is not a training state: it holds no averaged weights"):
        averaged_weights(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"holds no averaged weights ema\.reader2\."):
        averaged_weights(states(runs)["text"], "reader2.")
    assert load_file(states(runs)["text"])


def test_an_export_keeps_the_configuration_of_its_base(runs, nano, tmp_path):
    config = dataclasses.replace(nano.config, name="mine", dit=dataclasses.replace(nano.config.dit, lowest_sigma=0.3))
    parts = {part: getattr(nano, part).state_dict() for part in ("dit", "vae", "text")}
    save_checkpoint(tmp_path / "base.safetensors", config, parts)
    export({"dit": states(runs)["dit"]}, None, tmp_path / "out.safetensors", tmp_path / "base.safetensors")
    assert read_checkpoint(tmp_path / "out.safetensors").config == config


def test_training_goes_on_from_a_model_of_a_shape_that_no_preset_has(clips, tmp_path):
    config = preset("nano")
    config = dataclasses.replace(config, dit=dataclasses.replace(config.dit, depth=2))
    start, run, out = tmp_path / "start.safetensors", tmp_path / "run", tmp_path / "out.safetensors"
    parts = {name: module.state_dict() for name, module in build_parts(config).items()}
    save_checkpoint(start, config, {name: {k: torch.zeros_like(v) for k, v in p.items()} for name, p in parts.items()})
    assert main(["train", "dit", "--data", str(clips), "--init", str(start), "--out", str(run), "--steps", "1"]) == 0
    assert main(["export", "--base", str(start), "--dit", str(run), "--out", str(out)]) == 0
    assert read_checkpoint(out).config == config


def test_a_preset_that_the_bundled_parts_do_not_fit_asks_for_runs_of_its_own():
    with pytest.raises(ValueError, match=r"preset nano has another vae network than sora-mini\.safetensors; .*--vae"):
        trained_parts(preset("nano"), None, None)
    trained_parts(preset("mini"), None, None)
