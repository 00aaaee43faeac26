"""The model keeps ComfyUI's contracts: precision, LoRA, block patches, attention, masks and previews."""

import pytest
import torch

from sora_core.text.tokenizer import Tokenizer


def test_prediction_equals_the_library(call_model, nano, noisy, clean):
    torch.testing.assert_close(call_model(nano[0], noisy), clean, atol=1e-5, rtol=0)


def test_half_precision_does_not_pass_through_the_velocity(run, call_model, noisy):
    model, seen = run("SoraLoadModel", checkpoint="nano.safetensors", dtype="bfloat16")[0], []
    # ComfyUI computes in float32 on a CPU; as on a GPU, the network shall see and answer bfloat16 here.
    model.model.manual_cast_dtype = None

    def watch(executor, x, *args, **kwargs):
        seen.append((x, executor(x, *args, **kwargs)))
        return seen[-1][1]

    model.add_wrapper_with_key("diffusion_model", "test", watch)
    found = call_model(model, noisy)
    assert (seen[0][0].dtype, seen[0][1].dtype) == (torch.bfloat16, torch.float32)
    # Nothing may be lost on the detour: what comes out are still the network's own bfloat16 numbers.
    torch.testing.assert_close(found, found.bfloat16().float(), atol=2e-6, rtol=0)


def test_prompts_share_one_pass(sample, nano):
    model, sizes = nano[0].clone(), []
    model.set_model_unet_function_wrapper(
        lambda apply, args: sizes.append(len(args["input"])) or apply(args["input"], args["timestep"], **args["c"])
    )
    sample(model=model, steps=1)
    assert sizes == [2]


def test_lora_changes_and_restores(run, call_model, nano, noisy, clean):
    import comfy.sd

    weight = nano[0].model.diffusion_model.blocks[0].qkv.weight
    rank = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    lora = {
        "diffusion_model.blocks.0.qkv.lora_A.weight": rank[0],
        "diffusion_model.blocks.0.qkv.lora_B.weight": rank[1],
    }
    words = nano[1].cond_stage_model.sora.entry.weight
    lora["text_encoders.sora.entry.lora_A.weight"] = torch.randn(2, words.shape[1])
    lora["text_encoders.sora.entry.lora_B.weight"] = torch.randn(words.shape[0], 2)
    before = run("CLIPTextEncode", clip=nano[1], text="a cone")[0][0][0]
    with torch.inference_mode():
        model, clip = comfy.sd.load_lora_for_models(*nano[:2], lora, 1.0, 1.0)
    assert (call_model(model, noisy) - clean).abs().max() > 0.01
    assert (run("CLIPTextEncode", clip=clip, text="a cone")[0][0][0] - before).abs().max() > 0.01
    torch.testing.assert_close(call_model(nano[0], noisy), clean, atol=1e-5, rtol=0)
    assert torch.equal(run("CLIPTextEncode", clip=nano[1], text="a cone")[0][0][0], before)


def test_block_patches_see_and_replace_blocks(call_model, nano, noisy, clean):
    def patched(replace):
        model = nano[0].clone()
        model.set_model_patch_replace(replace, "dit", "double_block", 2)
        return call_model(model, noisy)

    shapes = []

    def unchanged(args, extra):
        shapes.append((tuple(args["img"].shape), tuple(args["txt"].shape)))
        return extra["original_block"](args)

    torch.testing.assert_close(patched(unchanged), clean, atol=1e-5, rtol=0)
    assert shapes[0] == ((1, 45, 128), (1, 8, 128))
    assert (patched(lambda args, extra: args) - clean).abs().max() > 0.01


def test_attention_override_is_asked(call_model, nano, noisy, clean):
    model, calls = nano[0].clone(), []

    def override(function, *args, **kwargs):
        calls.append(args[0].shape)
        return function(*args, **kwargs)

    model.model_options["transformer_options"]["optimized_attention_override"] = override
    torch.testing.assert_close(call_model(model, noisy), clean, atol=1e-5, rtol=0)
    assert len(calls) == 6  # one for each block of nano
    assert calls[0] == (1, 2, 45 + 8, 64)


@pytest.mark.parametrize("block", ["EasyCache", "RescaleCFG", "RenormCFG", "ModelSamplingSD3"])
def test_stock_model_patches_run(run, sample, nano, block):
    names = {"EasyCache": {"reuse_threshold": 0.2}, "RescaleCFG": {"multiplier": 0.7}, "ModelSamplingSD3": {"shift": 3}}
    names["RenormCFG"] = {"cfg_trunc": 100.0, "renorm_cfg": 1.0}
    model = run(block, model=nano[0], **names[block])[0]
    assert torch.isfinite(sample(model=model)).all()


def test_other_shift_does_not_change_a_prediction(run, call_model, nano, noisy, clean):
    for block, settings in (("ModelSamplingSD3", {"shift": 3.0}), ("ModelSamplingAuraFlow", {"shift": 1.7})):
        model = run(block, model=nano[0], **settings)[0]
        torch.testing.assert_close(call_model(model, noisy), clean, atol=1e-5, rtol=0)


def test_conditioning_of_another_encoder_is_refused(sample):
    with pytest.raises(ValueError, match="768 numbers wide and this Sora model reads 64"):
        sample(positive=[[torch.randn(1, 77, 768), {}]])


def test_joined_prompts_of_other_lengths_work(run, sample, prompts):
    joined = run("ConditioningConcat", conditioning_to=prompts[0], conditioning_from=prompts[1])[0]
    assert joined[0][0].shape[1] == 128
    assert (sample(positive=joined) - sample()).abs().max() > 1e-3


def test_stock_prompt_block_equals_ours_and_the_library(run, nano, core):
    ours = run("SoraTextEncode", clip=nano[1], prompt="一只红球 bounces", negative="")[0]
    stock = run("CLIPTextEncode", clip=nano[1], text="一只红球 bounces")[0]
    states, mask = core.text.encode(["一只红球 bounces"])
    assert torch.equal(ours[0][0], stock[0][0])
    assert torch.equal(ours[0][1]["attention_mask"], mask)
    torch.testing.assert_close(stock[0][0], states, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "text", ["a (red:1.5) ball", "((a red)) ball:", "(a (red:0.5):1.2) ball", r"a \(red\) (ball:1.1)"]
)
def test_weights_are_not_read_as_words(run, nano, caplog, text):
    with caplog.at_level("INFO"):
        found = run("CLIPTextEncode", clip=nano[1], text=text)[0]
    assert torch.equal(found[0][0], run("CLIPTextEncode", clip=nano[1], text="a red ball")[0][0][0])
    assert "Sora reads all words of a prompt alike, without these weights: " in caplog.text


def test_words_that_do_not_fit_are_named(run, nano, caplog):
    run("CLIPTextEncode", clip=nano[1], text="ball " * Tokenizer(64).max_tokens + "zebra")
    assert "it does not see: zebra" in caplog.text


def test_of_very_many_words_that_do_not_fit_the_first_are_named(run, nano, caplog):
    run("CLIPTextEncode", clip=nano[1], text="ball " * (Tokenizer(64).max_tokens + 9000))
    (line,) = (record.getMessage() for record in caplog.records if "does not see" in record.getMessage())
    assert line.endswith(f" ball and {9000 - 64} more")
    assert len(line) < 500


def test_words_that_were_never_trained_on_are_named(run, nano, caplog):
    with caplog.at_level("INFO"):
        run("CLIPTextEncode", clip=nano[1], text="a red ball and a flurb")
    assert "words that the text encoder was never trained on: flurb" in caplog.text


def test_preview_shows_every_frame(nano):
    import latent_preview

    form = nano[0].model.latent_format
    previewer = latent_preview.Latent2RGBPreviewer(
        form.latent_rgb_factors, form.latent_rgb_factors_bias, form.latent_rgb_factors_reshape
    )
    latent = torch.zeros(2, 16, 6, 8, 12)
    latent[0, :, 4] = 3.0
    image = previewer.decode_latent_to_preview_image("JPEG", latent)[1]
    assert image.size == (2 * 12 * 16, 3 * 8 * 16)
    grey = torch.frombuffer(bytearray(image.convert("L").tobytes()), dtype=torch.uint8).float()
    means = grey.reshape(3, 128, 2, 192).mean((1, 3)).flatten()
    assert (means - means[0]).abs().argmax() == 4


@pytest.mark.parametrize("block", ["KSampler", "SoraSampler"])
def test_samplers_send_the_preview_at_every_step(run, nano, prompts, grid, monkeypatch, block):
    import comfy.cli_args
    import comfy.utils

    sent = []
    monkeypatch.setattr(comfy.cli_args.args, "preview_method", comfy.cli_args.LatentPreviewMethod.Auto)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda *report, **_: sent.append(report))
    settings = {"model": nano[0], "positive": prompts[0], "negative": prompts[1], "seed": 1, "steps": 3}
    latent = {"latent_image" if block == "KSampler" else "latent": grid()}
    run(block, **settings, **latent)
    pictures = [report[2] for report in sent if report[2] is not None]
    assert len(pictures) == 3
    assert pictures[0][1].size == (2 * 10 * 19, 2 * 6 * 19)  # four frames of 6x10 cells, enlarged


def test_preview_colours_are_those_of_the_vae(nano, core):
    factors, bias = core.vae.latent_rgb()
    form = nano[0].model.latent_format
    torch.testing.assert_close(torch.tensor(form.latent_rgb_factors), factors, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.tensor(form.latent_rgb_factors_bias), bias, atol=1e-6, rtol=0)


def test_long_clips_show_an_even_choice(pack):
    from importlib import import_module

    sheet = import_module(pack.__name__ + ".nodes.comfy_model.preview").contact_sheet
    latent = torch.arange(200.0)[None, None, :, None, None].expand(1, 16, 200, 4, 4)
    shown = sheet(latent)[0, 0].unique()
    assert shown[0] == 0
    assert shown[-1] == 199
