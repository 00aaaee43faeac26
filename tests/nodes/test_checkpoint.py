"""Model files in ComfyUI: what is broken is named, what is saved can be loaded by stock blocks and by ours."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

BLOCK = "model.diffusion_model.blocks.0.qkv.weight"


def spoil(nano_file, path, change):
    with safe_open(nano_file, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors)
    save_file(tensors, path)


def nan(tensors):
    tensors[BLOCK] = tensors[BLOCK].clone()
    tensors[BLOCK][3, 4] = torch.nan


def not_ours(tensors):
    tensors.clear()
    tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(4)


FAULTS = {
    "missing": (lambda t: t.pop(BLOCK), rf"is incomplete: it holds no tensor {BLOCK}"),
    "shape": (lambda t: t.update({BLOCK: torch.zeros(3, 5)}), rf"tensor {BLOCK} is \(3, 5\); .* needs \(384, 128\)"),
    "nan": (nan, rf"tensor {BLOCK} holds NaN"),
    "unexpected": (lambda t: t.update({"vae.extra": torch.zeros(1)}), r"tensor vae\.extra belongs to no part"),
    "kind": (lambda t: t.update({BLOCK: torch.zeros(384, 128, dtype=torch.int32)}), rf"tensor {BLOCK} is torch\.int32"),
    "family": (not_ours, "is not a Sora checkpoint"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_file_is_refused_in_one_sentence(run, models, nano_file, fault):
    change, sentence = FAULTS[fault]
    path = models / f"{fault}.safetensors"
    spoil(nano_file, path, change)
    with pytest.raises(ValueError, match=sentence) as caught:
        run("SoraLoadModel", checkpoint=path.name)
    assert "\n" not in str(caught.value)


def test_truncated_file_is_refused(run, models, nano_file):
    path = models / "truncated.safetensors"
    path.write_bytes(nano_file.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"truncated\.safetensors is damaged"):
        run("SoraLoadModel", checkpoint=path.name)


def test_missing_file_lists_what_there_is(run):
    with pytest.raises(ValueError, match=r"there is no model gone\.safetensors .* nano\.safetensors"):
        run("SoraLoadModel", checkpoint="gone.safetensors")


def test_models_are_listed_after_one_of_their_folders_was_deleted(comfy, models, nano_file, tmp_path, monkeypatch):
    """Users empty the output directory, with output/sora in it, while ComfyUI runs."""
    import folder_paths

    folder = tmp_path / "emptied"
    paths, kinds = folder_paths.folder_names_and_paths["sora"]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "sora", ([*paths, str(folder)], kinds))
    folder.mkdir()
    shutil.copy(nano_file, folder / "emptied.safetensors")

    def listed():
        return comfy.NODE_CLASS_MAPPINGS["SoraLoadModel"].INPUT_TYPES()["required"]["checkpoint"][1]["options"]

    assert "emptied.safetensors" in listed()
    shutil.rmtree(folder)
    assert "nano.safetensors" in listed()
    assert "emptied.safetensors" not in listed()


def test_replaced_file_is_noticed(comfy, models, nano_file):
    block = comfy.NODE_CLASS_MAPPINGS["SoraLoadModel"]
    path = models / "replaced.safetensors"
    shutil.copy(nano_file, path)
    before = block.fingerprint_inputs(checkpoint=path.name, dtype="automatic")
    assert block.fingerprint_inputs(checkpoint=path.name, dtype="automatic") == before
    path.write_bytes(path.read_bytes() + b" ")
    assert block.fingerprint_inputs(checkpoint=path.name, dtype="automatic") != before


def test_a_file_that_another_block_names_is_not_loaded_or_trained_at_every_run(comfy):
    """ComfyUI asks before that block has run, and takes an error for a change."""
    load, train = (comfy.NODE_CLASS_MAPPINGS[name].fingerprint_inputs for name in ("SoraLoadModel", "SoraTrain"))
    assert load(checkpoint=None, dtype="automatic") == load(checkpoint=None, dtype="automatic")
    assert train(checkpoint=(None,), steps=[2]) == train(checkpoint=(None,), steps=[2])


def test_a_replaced_file_that_another_block_names_is_loaded_and_not_trained_again(comfy, models, nano_file):
    load, train = (comfy.NODE_CLASS_MAPPINGS[name].fingerprint_inputs for name in ("SoraLoadModel", "SoraTrain"))
    path = models / "replaced by name.safetensors"
    shutil.copy(nano_file, path)
    before = load(checkpoint=None, dtype="automatic"), train(checkpoint=(None,), steps=[2])
    path.write_bytes(path.read_bytes() + b" ")
    assert load(checkpoint=None, dtype="automatic") != before[0]
    assert train(checkpoint=(None,), steps=[2]) == before[1]


@pytest.fixture(scope="module")
def saved(comfy, nano):
    """What the stock CheckpointSave writes of the nano model."""
    import folder_paths

    with torch.inference_mode():
        block = comfy.NODE_CLASS_MAPPINGS["CheckpointSave"]()
        block.save(*nano, filename_prefix="sora/saved")
    return sorted(Path(folder_paths.get_output_directory(), "sora").glob("saved*.safetensors"))[-1]


def test_saved_checkpoint_loads_again(run, saved, sample, core):
    model, clip, vae = run("SoraLoadModel", checkpoint=saved.name)
    positive, negative = run("SoraTextEncode", clip=clip, prompt="a red ball rolls left", negative="snow")
    assert torch.equal(sample(model=model, positive=positive, negative=negative), sample())
    latent = torch.randn(1, 16, 1, 4, 4)
    with torch.inference_mode():
        expected = core.vae.decode(latent)[0, :, 0].movedim(0, -1)
    torch.testing.assert_close(
        run("VAEDecode", vae=vae, samples={"samples": latent})[0][0], expected, atol=1e-5, rtol=0
    )


def test_each_part_can_be_loaded_anew(nano):
    """As newer versions do it: for another device, and for hooks, which need weights that stay where they are."""
    for part in nano:
        patcher = getattr(part, "patcher", part)
        make, about, which = patcher.cached_patcher_init
        for fresh in (make(*about)[which], make(*about, disable_dynamic=True)[which]):
            assert type(fresh.model) is type(patcher.model)
            assert fresh.model is not patcher.model
            assert fresh.model.state_dict().keys() == patcher.model.state_dict().keys()


def test_weights_that_newer_versions_leave_in_the_precision_of_the_file_are_cast(run, monkeypatch):
    """Their linear layers take what the file holds, which compiled models would then multiply with something else."""
    import comfy.sd

    guess = comfy.sd.load_state_dict_guess_config

    def lazy(*args, **options):
        made = guess(*args, **options)
        made[0].model.diffusion_model.entry.half()
        return made

    monkeypatch.setattr(comfy.sd, "load_state_dict_guess_config", lazy)
    network = run("SoraLoadModel", checkpoint="nano.safetensors", dtype="bfloat16")[0].model.diffusion_model
    assert {weight.dtype for weight in network.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("which", ["saved", "written by the library"])
def test_stock_loader_knows_our_files(run, saved, nano_file, sample, which):
    import folder_paths

    name = which.replace(" ", "_") + ".safetensors"
    folder = Path(folder_paths.models_dir, "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(saved if which == "saved" else nano_file, folder / name)
    model, clip, vae = run("CheckpointLoaderSimple", ckpt_name=name)
    with pytest.raises(ValueError, match=r"the checkpoint loader found no VAE .* Load Sora Model"):
        run("SoraNoiseGrid", vae=vae)
    positive, negative = run("SoraTextEncode", clip=clip, prompt="a red ball rolls left", negative="snow")
    assert torch.equal(sample(model=model, positive=positive, negative=negative), sample())
    assert model.model.latent_format.latent_rgb_factors is not None


def test_saved_transformer_loads_in_the_stock_loader(comfy, run, nano, sample):
    import folder_paths

    with torch.inference_mode():
        comfy.NODE_CLASS_MAPPINGS["ModelSave"]().save(nano[0], filename_prefix="transformer")
    file = next(Path(folder_paths.get_output_directory()).glob("transformer*.safetensors"))
    folder = Path(folder_paths.models_dir, "diffusion_models")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, folder / "transformer.safetensors")
    model = run("UNETLoader", unet_name="transformer.safetensors", weight_dtype="default")[0]
    assert torch.equal(sample(model=model), sample())


def test_other_models_are_not_taken_for_ours(pack):
    import comfy.supported_models

    family = comfy.supported_models.models[0]
    assert family.__name__ == "SoraFamily"
    assert not family.matches({"image_model": "ltxv"}, {"adaln_single.emb.timestep_embedder.linear_1.bias": 0})
    assert not family.matches({}, None)
    assert family.matches({}, {"model.diffusion_model.sora_config": 0}, unet_key_prefix="model.diffusion_model.")
