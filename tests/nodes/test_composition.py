"""Stock blocks that change how a model runs do to ours what they promise: each one acts, and none breaks it."""

from pathlib import Path

import pytest
import torch


@pytest.fixture
def counted(nano):
    """The nano model, and the shapes of the latents that its network is called with."""
    model, shapes = nano[0].clone(), []

    def watch(executor, x, *args, **kwargs):
        shapes.append(tuple(x.shape))
        return executor(x, *args, **kwargs)

    model.add_wrapper_with_key("diffusion_model", "test", watch)
    return model, shapes


def test_easy_cache_leaves_out_passes(run, sample, nano):
    passes = []
    block = nano[0].model.diffusion_model.blocks[0]
    hook = block.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        whole = sample(steps=10)
        assert len(passes) == 10
        settings = {"reuse_threshold": 1.0, "start_percent": 0.1, "end_percent": 0.95, "verbose": False}
        quick = sample(model=run("EasyCache", model=nano[0], **settings)[0], steps=10)
    finally:
        hook.remove()
    assert 12 <= len(passes) < 20
    assert torch.isfinite(quick).all()
    assert 0 < (quick - whole).abs().mean() < whole.std()


def test_compiled_model_predicts_the_same(run, call_model, nano, noisy, clean):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    # The same tracing as with the default backend, without the minute that its compiler takes.
    compiled = run("TorchCompileModel", model=nano[0], backend="aot_eager")[0]
    torch.testing.assert_close(call_model(compiled, noisy), clean, atol=1e-4, rtol=0)
    assert counters["stats"]["unique_graphs"] >= 1
    torch._dynamo.reset()


def test_lora_acts_on_a_compiled_model(run, call_model, nano, noisy, clean):
    import comfy.sd

    weight, draws = nano[0].model.diffusion_model.blocks[1].down.weight, torch.Generator().manual_seed(0)
    lora = {
        "diffusion_model.blocks.1.down.lora_A.weight": torch.randn(2, weight.shape[1], generator=draws),
        "diffusion_model.blocks.1.down.lora_B.weight": torch.randn(weight.shape[0], 2, generator=draws),
    }
    with torch.inference_mode():
        changed, _ = comfy.sd.load_lora_for_models(nano[0], None, lora, 1.0, 0.0)
    usual = call_model(changed, noisy)
    torch._dynamo.reset()
    compiled = run("TorchCompileModel", model=changed, backend="aot_eager")[0]
    torch.testing.assert_close(call_model(compiled, noisy), usual, atol=1e-4, rtol=0)
    assert (usual - clean).abs().max() > 0.01
    torch._dynamo.reset()


def test_skip_layer_guidance_skips_the_layer_it_names(run, sample, nano):
    settings = {"scale": 2.0, "start_percent": 0.0, "end_percent": 1.0, "rescaling_scale": 0.0, "single_layers": ""}
    usual = sample()
    changed = [
        sample(model=run("SkipLayerGuidanceDiT", model=nano[0], double_layers=layer, **settings)[0])
        for layer in ("2", "3")
    ]
    assert all(torch.isfinite(found).all() for found in changed)
    assert (changed[0] - usual).abs().max() > 1e-2
    assert (changed[0] - changed[1]).abs().max() > 1e-2


def test_context_windows_show_the_network_a_part_at_a_time(sample, counted, in_windows):
    model, shapes = counted
    windowed = in_windows(model, 4, overlap=2)
    latent = {"samples": torch.zeros(1, 16, 8, 4, 6)}
    found = sample(latent, model=windowed)
    assert {shape[2] for shape in shapes} == {4}
    assert found.shape == (1, 16, 8, 4, 6)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("kind", ["fp8_e4m3fn", "fp8_e5m2"])
def test_eight_bit_weights_nearly_predict_the_same(comfy, run, nano, call_model, noisy, clean, kind):
    import folder_paths

    with torch.inference_mode():
        comfy.NODE_CLASS_MAPPINGS["ModelSave"]().save(nano[0], filename_prefix=f"for_{kind}")
    saved = next(Path(folder_paths.get_output_directory()).glob(f"for_{kind}*.safetensors"))
    folder = Path(folder_paths.models_dir, "diffusion_models")
    folder.mkdir(parents=True, exist_ok=True)
    saved.rename(folder / f"{kind}.safetensors")
    model = run("UNETLoader", unet_name=f"{kind}.safetensors", weight_dtype=kind)[0]
    found = call_model(model, noisy)
    assert model.model.diffusion_model.blocks[0].qkv.weight.dtype == getattr(torch, kind.replace("fp8", "float8"))
    # Rounding to 2 or 3 bits grows through six blocks of random weights; a wrong cast would leave nothing in common.
    both = torch.corrcoef(torch.stack([found.flatten(), clean.flatten()]))
    assert both[0, 1] > 0.9
    assert (found - clean).abs().max() > 1e-4


@pytest.mark.parametrize("checkpointing", [False, True])
def test_core_trains_a_lora_of_ours(run, nano, prompts, sample, checkpointing):
    draws = torch.Generator().manual_seed(0)
    clips = [{"samples": torch.randn(1, 16, 2, 4, 4, generator=draws)} for _ in range(2)]
    settings = {
        "batch_size": 2, "grad_accumulation_steps": 1, "steps": 4, "learning_rate": 0.05, "rank": 2,
        "optimizer": "AdamW", "loss_function": "MSE", "seed": 0, "training_dtype": "fp32", "lora_dtype": "fp32",
        "algorithm": "LoRA", "gradient_checkpointing": checkpointing, "existing_lora": "[None]",
    }  # fmt: skip
    asked = {name: [value] for name, value in settings.items()}
    # Older versions give the trained model, too.
    *_, lora, losses, _ = run("TrainLoraNode", model=[nano[0]], latents=clips, positive=[prompts[0]], **asked)
    model = run("LoraModelLoader", model=nano[0], lora=lora, strength_model=1.0)[0]
    assert len(losses["loss"]) == settings["steps"]
    assert (sample(model=model, steps=1) - sample(steps=1)).abs().max() > 1e-3
