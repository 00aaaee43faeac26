"""Long videos in ComfyUI: sampled in windows, encoded and decoded in chunks, and kept on disk until they are done."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from sora_core.pipeline import DEFAULT_GUIDANCE
from sora_core.video import VideoReader, VideoWriter


@pytest.fixture(scope="module")
def left():
    """What lies in the folder of unfinished work."""
    import folder_paths

    folder = Path(folder_paths.get_output_directory()) / "sora_unfinished"
    shutil.rmtree(folder, ignore_errors=True)  # what failures in other tests rightly kept
    return lambda: sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.fixture(scope="module")
def long(run, nano, prompts, grid):
    def call(**changes):
        settings = {"model": nano[0], "vae": nano[2], "positive": prompts[0], "negative": prompts[1], "steps": 2,
                    "latent": grid(width=16, height=16, seconds=4.0, fps=8.0), "seed": 5, "window": 2.0,
                    "sampler": "euler"}  # fmt: skip
        return run("SoraLongVideoSampler", **(settings | changes))[0]

    return call


@pytest.fixture(scope="module")
def whole(long):
    return long(overlap=1.0)["samples"]


def test_first_window_is_what_sora_sampler_makes(sample, grid, whole):
    short = sample(grid(width=16, height=16, seconds=2.0, fps=8.0), steps=2, guidance=DEFAULT_GUIDANCE)
    assert whole.shape == (1, 16, 9, 2, 2)
    torch.testing.assert_close(whole[:, :, :5], short, atol=1e-5, rtol=0)


def test_another_lora_is_another_video(pack, nano, prompts):
    import comfy.sd

    identity_of = sys.modules[f"{pack.__name__}.nodes.long"].identity_of
    weight = nano[0].model.diffusion_model.blocks[0].qkv.weight

    def named(seed):
        draws = torch.Generator().manual_seed(seed)
        lora = {
            "diffusion_model.blocks.0.qkv.lora_A.weight": torch.randn(2, weight.shape[1], generator=draws),
            "diffusion_model.blocks.0.qkv.lora_B.weight": torch.randn(weight.shape[0], 2, generator=draws),
        }
        model, _ = comfy.sd.load_lora_for_models(*nano[:2], lora, 1.0, 1.0)
        return identity_of(model, [], [], *prompts)

    assert named(1) == named(1)
    assert named(1) != named(2)
    pictured = [[[states, options | {"reference_latents": [torch.full((1,), 2.0)]}] for states, options in prompts[0]]]
    assert identity_of(nano[0], [], [], *pictured) != identity_of(nano[0], [], [], prompts[0])


def test_a_model_is_known_again_whatever_its_clones_have_loaded(pack, nano, prompts):
    """They share its weights, and each puts what it wants there: its LoRA, or in newer versions another precision."""
    import comfy.model_management
    import comfy.sd

    identity_of = sys.modules[f"{pack.__name__}.nodes.long"].identity_of
    name = "diffusion_model.blocks.0.qkv"
    rows, columns = nano[0].model.diffusion_model.blocks[0].qkv.weight.shape
    lora = {f"{name}.lora_A.weight": torch.ones(2, columns), f"{name}.lora_B.weight": torch.ones(rows, 2)}
    clone, _ = comfy.sd.load_lora_for_models(*nano[:2], lora, 1.0, 1.0)

    def named(loaded):
        with torch.inference_mode():
            comfy.model_management.load_models_gpu([loaded])
        weight = nano[0].model.diffusion_model.blocks[0].qkv.weight.detach().clone()
        return weight, identity_of(nano[0], [], [], *prompts), identity_of(clone, [], [], *prompts)

    plain, own, other = named(nano[0])
    changed, *names = named(clone)
    named(nano[0])
    assert not torch.equal(plain, changed)
    assert names == [own, other]
    assert own != other


def test_a_model_is_known_again_when_newer_versions_have_cast_it(pack, run, prompts, monkeypatch):
    """They note which precision a weight computes in, and some have it from the first time that they compute."""
    identity_of = sys.modules[f"{pack.__name__}.nodes.long"].identity_of
    model = run("SoraLoadModel", checkpoint="nano.safetensors")[0]
    block = model.model.diffusion_model.blocks[0]
    monkeypatch.setattr(block, "table_comfy_model_dtype", torch.bfloat16, raising=False)
    before = identity_of(model, [], [], *prompts)
    block.table.data = block.table.data.to(torch.bfloat16)
    assert identity_of(model, [], [], *prompts) == before
    block.table.data = block.table.data + 1
    assert identity_of(model, [], [], *prompts) != before


def test_what_other_blocks_did_to_the_model_makes_another_video(run, pack, nano, prompts):
    identity_of = sys.modules[f"{pack.__name__}.nodes.long"].identity_of
    models = [nano[0], *(run("RescaleCFG", model=nano[0], multiplier=share)[0] for share in (0.5, 0.7))]
    names = [identity_of(model, [], [], *prompts) for model in models]
    assert len(set(names)) == 3
    assert names[1] == identity_of(run("RescaleCFG", model=nano[0], multiplier=0.5)[0], [], [], *prompts)


def test_where_and_how_strongly_a_prompt_acts_makes_another_video(run, pack, nano, prompts):
    """Areas, and LoRAs that a prompt brings along: a run that was cut off does not go on with others."""
    identity_of = sys.modules[f"{pack.__name__}.nodes.long"].identity_of
    weight = nano[0].model.diffusion_model.blocks[0].qkv.weight
    halves = {"lora_A": torch.ones(2, weight.shape[1]), "lora_B": torch.ones(weight.shape[0], 2)}

    def in_area(x):
        area = {"width": 0.5, "height": 0.5, "temporal": 1.0, "x": x, "y": 0.0, "z": 0.0, "strength": 1.0}
        return run("ConditioningSetAreaPercentageVideo", conditioning=prompts[0], **area)[0]

    def hooked(strength, scale=1.0, start=0.0):
        import comfy.hooks

        lora = {f"diffusion_model.blocks.0.qkv.{name}.weight": scale * half for name, half in halves.items()}
        hooks = comfy.hooks.create_hook_lora(lora, strength, 0.0)
        frames = run("CreateHookKeyframe", strength_mult=0.5, start_percent=start)[0]
        hooks = run("SetHookKeyframes", hooks=hooks, hook_kf=frames)[0]
        return run("ConditioningSetProperties", cond_NEW=prompts[0], strength=1.0, set_cond_area="default",
                   hooks=hooks)[0]  # fmt: skip

    makers = [lambda: prompts[0], lambda: in_area(0.0), lambda: in_area(0.5), lambda: hooked(1.0)]
    makers += [lambda: hooked(0.5), lambda: hooked(1.0, scale=2.0), lambda: hooked(1.0, start=0.5)]
    names = [identity_of(nano[0], [], [], make()) for make in makers]
    assert len(set(names)) == len(makers)
    assert names == [identity_of(nano[0], [], [], make()) for make in makers]


def test_hooks_load_a_model_anew_once_for_all_windows(pack, nano, prompts, long, monkeypatch):
    """As newer versions do where weights come and go, which hooks cannot change."""
    import comfy.sampler_helpers

    class Dynamic:
        def is_dynamic(self):
            return True

        def get_non_dynamic_delegate(self):
            return nano[0]

    compat, windows = (sys.modules[f"{pack.__name__}.nodes.{name}"] for name in ("compat", "windows"))
    monkeypatch.setattr(comfy.sampler_helpers, "cond_has_hooks", lambda cond: "hooks" in cond[0][1], raising=False)
    model = Dynamic()
    assert compat.fit_for_hooks(model, prompts[0], [[None, {"hooks": None}]]) is nano[0]
    assert compat.fit_for_hooks(model, *prompts) is model
    asked = []
    monkeypatch.setattr(windows, "fit_for_hooks", lambda model, *_: asked.append(model) or model)
    long(steps=1)
    assert asked == [nano[0]]


def test_other_tiles_make_another_video(run, pack, nano, prompts):
    """Their sizes are numbers of functions within the one that the model holds."""
    identity_of = sys.modules[f"{pack.__name__}.nodes.long"].identity_of

    def named(tile, overlap):
        model = run("SoraTileModel", model=nano[0], vae=nano[2], tile=tile, overlap=overlap)[0]
        return identity_of(model, [], [], *prompts)

    assert named(64, 0.125) == named(64, 0.125)
    assert len({named(64, 0.125), named(64, 0.5), named(96, 0.125)}) == 3


def test_a_connection_is_led_in_windows_too(run, nano, prompts, long):
    first, second = (torch.rand(24, 16, 16, 3, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    connection, positive, *_ = run(
        "SoraConnectVideos", vae=nano[2], first=first, second=second, positive_first=prompts[0],
        positive_second=prompts[1], seconds=2.0,
    )  # fmt: skip
    model, positive, negative, latent = run(
        "SoraFitModel", model=nano[0], positive=positive, negative=prompts[1], latent=connection
    )
    changes = {"positive": positive, "negative": negative, "latent": latent, "overlap": 1.0}
    led, free = (long(model=m, **changes)["samples"] for m in (model, nano[0]))
    given = (latent["noise_mask"] == 0).expand_as(led)
    assert (led - latent["samples"])[given].abs().max() < 1e-5
    assert (led - free)[~given].abs().max() > 1e-3


def test_interrupted_run_goes_on_bit_for_bit_and_leaves_nothing(comfy, long, nano, whole, left):
    from comfy.model_management import InterruptProcessingException

    model, calls = nano[0].clone(), []

    def stop(args):
        calls.append(1)
        if len(calls) == 3:  # within the second window
            comfy.interrupt_processing()
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(stop)
    with pytest.raises(InterruptProcessingException):
        long(model=model, overlap=1.0)
    assert [path.suffix for path in left()] == [".windows"]
    done = len(calls)
    assert torch.equal(long(model=model, overlap=1.0)["samples"], whole)
    assert len(calls) - done == 4, "only the second and the third window are left"
    assert left() == []


def test_a_run_stays_on_disk_until_its_latent_has_arrived(pack, long, whole, left, monkeypatch):
    """Where ComfyUI keeps latents on the card, there may be no room for all of it at once."""

    def full(_):
        raise RuntimeError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules[f"{pack.__name__}.nodes.long"], "to_intermediate", full)
        with pytest.raises(RuntimeError, match="out of memory"):
            long(overlap=1.0)
    assert [path.suffix for path in left()] == [".windows"]
    assert torch.equal(long(overlap=1.0)["samples"], whole)
    assert left() == []


def test_known_frames_anywhere_are_kept(long, grid):
    latent = grid(width=16, height=16, seconds=4.0, fps=8.0)
    clean, mask = torch.randn_like(latent["samples"]), torch.ones(1, 1, 9, 2, 2)
    mask[:, :, [0, 6]] = 0
    found = long(latent={**latent, "samples": clean, "noise_mask": mask})["samples"]
    torch.testing.assert_close(found[:, :, [0, 6]], clean[:, :, [0, 6]], atol=1e-5, rtol=0)


def test_timeline_changes_later_windows_only(run, nano, long, grid, whole):
    latent = grid(width=16, height=16, seconds=4.0, fps=8.0)
    lines = "[0-3s] a red ball rolls left\n[3-4s] snow"
    positive = run("SoraPromptTimeline", clip=nano[1], vae=nano[2], latent=latent, timeline=lines, blend=0.0)[0]
    found = long(positive=positive, overlap=1.0)["samples"]
    torch.testing.assert_close(found[:, :, :6], whole[:, :, :6], atol=1e-4, rtol=0)
    assert (found - whole)[:, :, -1].abs().max() > 1e-3


@pytest.mark.parametrize("how", ["area", "mask"])
def test_a_place_in_time_is_that_of_the_whole_video(run, prompts, long, whole, how):
    if how == "area":
        area = {"width": 1.0, "height": 1.0, "temporal": 2 / 9, "x": 0.0, "y": 0.0, "z": 7 / 9, "strength": 1.0}
        late = run("ConditioningSetAreaPercentageVideo", conditioning=prompts[1], **area)[0]
    else:
        mask = (torch.arange(9) >= 7).float()[:, None, None].expand(9, 16, 16)
        late = run("ConditioningSetMask", conditioning=prompts[1], mask=mask, strength=1.0, set_cond_area="default")[0]
    found = long(positive=[*prompts[0], *late], overlap=1.0)["samples"]
    torch.testing.assert_close(found[:, :, :7], whole[:, :, :7], atol=1e-4, rtol=0)
    assert (found - whole)[:, :, 7:].abs().max() > 1e-3


def test_a_place_in_time_is_in_a_window_twice_where_a_loop_closes(pack):
    from sora_core.editing.long import plan

    areas_in = sys.modules[f"{pack.__name__}.nodes.windows"].areas_in
    last = plan(9, 5, 1, loop=True)[-1]
    assert last.cells[-1] == 0
    area = ("percentage", 1 - 1 / 9, 0.5, 1.0, 0.0, 0.25, 0.0)  # all but the last latent frame
    before = last.cells.index(8)
    size = len(last.cells)
    assert areas_in(area, last, 9) == [
        ("percentage", before / size, 0.5, 1.0, 0.0, 0.25, 0.0),
        ("percentage", 1 / size, 0.5, 1.0, (size - 1) / size, 0.25, 0.0),
    ]
    still = ("percentage", 0.5, 1.0, 0.25, 0.0)
    assert areas_in(still, last, 9) == [still]


def test_levels_that_leave_noise_in_every_window_are_refused(long):
    with pytest.raises(ValueError, match=r"end at 0\.8; .* must end at 0"):
        long(sigmas=torch.tensor([1.0, 0.8]))


def test_a_window_of_no_numbers_ends_the_run_and_is_not_kept(nano, long, left):
    """Half precision overflows on some cards: the other windows would be hours of the same."""
    model, seen, before = nano[0].clone(), [], left()

    def spoiled(args):
        seen.append(args["sigma"])
        return args["denoised"] * (float("nan") if len(seen) > 2 else 1)

    model.set_model_sampler_post_cfg_function(spoiled)
    with pytest.raises(ValueError, match="from latent frame 5 on holds NaN or infinite numbers: load it with dtype"):
        long(model=model, overlap=1.0)
    assert len(seen) == 4
    (windows,) = set(left()) - set(before)
    assert [path.name for path in windows.iterdir()] == ["00000.safetensors"]
    shutil.rmtree(windows)


def test_guidance_that_is_no_number_is_refused(long):
    with pytest.raises(ValueError, match="guidance is nan; it must be a finite number"):
        long(guidance=float("nan"))


def test_history_and_fusion_change_only_what_they_may(long, whole):
    for changes, first in (({"history": 0.2}, 5), ({"fusion": 0.5}, 4)):
        found = long(overlap=1.0, **changes)["samples"]
        assert torch.equal(found[:, :, :first], whole[:, :, :first])
        assert (found - whole)[:, :, first].abs().max() > 1e-3
    with pytest.raises(ValueError, match=r"fusion is 2 .* an overlap of 2; .* shorter fusion or a longer overlap"):
        long(overlap=1.0, fusion=1.0)


def test_long_loop_is_decoded_without_an_end(run, nano, long):
    latent = long(overlap=0.5, loop=True)
    video, frames = run("SoraDecodeLoop", vae=nano[2], latent=latent)
    assert frames.shape == (36, 16, 16, 3)  # nine whole latent frames
    assert video.get_duration() == 36 / 8


def test_windows_that_hold_nothing_new_are_refused(long):
    with pytest.raises(ValueError, match="must be between 1 and 3"):
        long(overlap=2.0)


@pytest.mark.parametrize("chunk", [1, 3])
def test_streamed_encode_equals_whole(comfy, run, nano, tmp_path, chunk):
    from comfy_api.latest import InputImpl

    path, frames = tmp_path / "clip.mp4", torch.rand(22, 20, 28, 3, generator=torch.Generator().manual_seed(0))
    with VideoWriter(path, 28, 20, 12.0) as writer:
        writer.write(frames)
    latent, fps = run("SoraEncodeVideo", vae=nano[2], video=InputImpl.VideoFromFile(str(path)), chunk=chunk)
    read = torch.cat(list(VideoReader(path))).float() / 255
    read = torch.cat([read, read[-1:].expand(3, -1, -1, -1)]).movedim(-1, 0)[None]
    padded = torch.nn.functional.pad(read, (2, 2, 6, 6, 0, 0), mode="replicate")
    expected = nano[2].first_stage_model.encode(padded)
    torch.testing.assert_close(latent["samples"], expected, atol=1e-5, rtol=0)
    assert latent["sora_size"] == {"num_frames": 22, "height": 20, "width": 28, "fps": 12.0, "resized": False}
    assert fps == 12.0


def test_latent_is_on_disk_while_it_is_decoded_and_stays_if_that_fails(run, nano, monkeypatch, left):
    latent, seen = {"samples": torch.randn(1, 16, 2, 2, 2)}, []

    def fail(*_):
        seen.extend(left())
        raise MemoryError

    monkeypatch.setattr(nano[2].first_stage_model, "decode", fail)
    with pytest.raises(ValueError, match=r"too little memory to decode .* kept in .*\.latent"):
        run("SoraDecodeVideo", vae=nano[2], latent=latent, fps=8.0)
    monkeypatch.undo()
    assert left() == [seen[0]]
    run("SoraDecodeVideo", vae=nano[2], latent=latent, fps=8.0)
    assert left() == []


def test_a_video_is_not_lost_because_its_latent_cannot_be_deleted(run, nano, monkeypatch, left, caplog):
    """Windows deletes no file that another program reads."""
    unlink, video = Path.unlink, {"vae": nano[2], "latent": {"samples": torch.randn(1, 16, 2, 2, 2)}, "fps": 8.0}

    def refuse(path, *options, **more):
        if path.suffix == ".latent":
            raise PermissionError("in use")
        return unlink(path, *options, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        assert run("SoraDecodeVideo", **video)[0].get_duration() > 0
    assert "cannot be deleted: in use" in caplog.text
    run("SoraDecodeVideo", **video)
    assert left() == []


def test_latent_of_a_loop_is_on_disk_until_its_video_is_too(run, pack, nano, monkeypatch, left):
    def fail(*_):
        raise ValueError("the disk is full")

    loop = {"vae": nano[2], "latent": {"samples": torch.randn(1, 16, 2, 2, 2)}, "fps": 8.0}
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules[f"{pack.__name__}.nodes.editing_loop"], "to_video", fail)
        with pytest.raises(ValueError, match="the disk is full"):
            run("SoraDecodeLoop", **loop)
    assert [path.suffix for path in left()] == [".latent"]
    run("SoraDecodeLoop", **loop)
    assert left() == []


def test_decode_goes_on_with_less_when_memory_runs_out(run, nano, monkeypatch):
    latent = torch.randn(1, 16, 5, 2, 2)
    network, sizes = nano[2].first_stage_model, []
    decode, expected = type(network).decode, network.decode(latent)

    def small(part, state):
        sizes.append(part.shape[2])
        if part.shape[2] > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return decode(network, part, state)

    monkeypatch.setattr(network, "decode", small)
    parts = list(nano[2].decode_stream(latent, 4))
    assert sizes == [4, 2, 2, 1]
    torch.testing.assert_close(torch.cat(parts, dim=2), expected, atol=1e-5, rtol=0)


def test_sound_of_the_source_is_kept_from_encoding_to_decoding(run, nano, tmp_path):
    import av
    from comfy_api.latest import InputImpl

    silent, path = tmp_path / "silent.mp4", tmp_path / "clip.mp4"
    with VideoWriter(silent, 16, 16, 8) as writer:
        writer.write(torch.rand(16, 16, 16, 3))
    with av.open(str(silent)) as given, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(given.streams.video[0])
        sound = container.add_stream("aac", rate=16000, layout="mono")
        packets = [packet for packet in given.demux(video=0) if packet.dts is not None]
        for i in range(31):
            frame = av.AudioFrame.from_ndarray(torch.randn(1, 1024).mul(0.1).numpy(), format="fltp", layout="mono")
            frame.rate, frame.pts = 16000, 1024 * i
            container.mux(sound.encode(frame))
        for packet in packets:
            packet.stream = video
            container.mux(packet)
        container.mux(sound.encode(None))
    latent, _ = run("SoraEncodeVideo", vae=nano[2], video=InputImpl.VideoFromFile(str(path)))
    (made,) = run("SoraDecodeVideo", vae=nano[2], latent=latent)[:1]
    with av.open(made.get_stream_source()) as container:
        assert container.streams.video[0].frames == 16
        assert sum(packet.size > 0 for packet in container.demux(audio=0)) == pytest.approx(31, abs=2)
