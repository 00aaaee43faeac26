"""The block that plays a world turn by turn: each press of Run goes on from where the last one stopped."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.latest import InputImpl, io
from torch import Tensor

from sora_core.diffusion.conditioning import Known
from sora_core.editing.extend import extend_latent
from sora_core.editing.geometry import Geometry
from sora_core.editing.long import Window
from sora_core.editing.play import next_window, seen_in, story
from sora_core.editing.play_state import Play, Turn
from sora_core.files import writable
from sora_core.out_of_memory import is_out_of_memory
from sora_core.shapes import LatentShape, VideoShape

from .compat import fitting_latent, to_intermediate
from .editing_fit import check_model
from .editing_media import geometry_of, known_of, shape_of
from .editing_wrap import LOOPED
from .folders import is_file_name
from .movie import HELD, played
from .native import Latent, samples_of, with_size
from .play_video import film
from .prompt import encoded
from .sample import at_frame_rate, noise_levels
from .sampling_inputs import guidance_input, sampler_input, seed_input, sigmas_input, steps_input
from .schema import advanced, schema
from .windows import window_sampler


def play_of(name: str) -> Play:
    """The play of a name, in ComfyUI's output folder. Raises ValueError for what no folder can be called."""
    if not is_file_name(name):
        raise ValueError(
            f"play is {name[:40]!r}; give a name that a folder can have, of letters, digits and spaces, for instance"
            " my world"
        )
    return Play(Path(folder_paths.get_output_directory()) / "sora_worlds" / name)


@dataclass(frozen=True)
class Scene:
    """What a turn is to do: its `window`, what is `known` of it, and the size of the `video` with it.

    `before` is what a first turn goes on from, `1 c t h w`, which is kept with what it makes.
    """

    window: Window
    known: Known
    video: VideoShape
    before: Tensor | None = None


def opening(latent: Latent, geometry: Geometry, video: VideoShape, seconds: float, memory: float) -> Scene:
    """The first turn: a latent that leaves something to make is completed, and any other one is gone on from."""
    samples, known = samples_of(latent).float(), known_of(latent)
    given = bool((known.mask == 0).all()) if "noise_mask" in latent else bool(samples.any())
    if not given:
        return Scene(Window(0, range(0), range(samples.shape[2])), known, video)
    whole = extend_latent(geometry, samples, 1, video.num_frames if latent.get(HELD) else None)
    before = samples[:, :, : geometry.latent_frames(len(whole.kept))]
    window, video = next_window(geometry, before.shape[2], video, seconds, memory, 0)
    return Scene(window, seen_in(window, before[:, :, window.past.start :]), video, before)


def following(play: Play, turns: list[Turn], geometry: Geometry, seconds: float, memory: float) -> Scene:
    """A further turn: it sees the end of the last one."""
    cells = sum(turn.latent.frames for turn in turns)
    window, video = next_window(geometry, cells, turns[-1].video, seconds, memory, len(turns))
    return Scene(window, seen_in(window, play.latent(turns, window.past.start).float()), video)


def turns_before(play: Play, after: int) -> list[Turn]:
    """The turns that the next one goes on from. Raises ValueError for a turn that was not played or is damaged."""
    last = play.last()
    if after > last:
        raise ValueError(
            f"after is {after}, and the play {play.folder.name} ends with turn {last}: give at most {last}, or -1"
        )
    return play.turns(last if after < 0 else after)


def beginning(model: Any, latent: Latent) -> Latent:
    """A LATENT of one video of the model's. Raises ValueError for several, and for those of other models."""
    latent = {**latent, "samples": fitting_latent(model, samples_of(latent), latent)}
    check_model(model, latent["samples"])
    if len(latent["samples"]) != 1:
        raise ValueError(f"a play is one video, and this latent holds {len(latent['samples'])}: set batch to 1")
    return latent


def sampled(
    model: Any, positive: Any, negative: Any, scene: Scene, geometry: Geometry, *, seed: int, steps: int,
    guidance: float, sampler: str, sigmas: Tensor | None,
) -> Tensor:  # fmt: skip
    """The latent frames of a turn, `1 c t h w`. Raises ValueError for a looped model, and what its sampler raises."""
    if model.model_options.get("transformer_options", {}).get(LOOPED):
        raise ValueError("Sora Seamless Loop's model would make a loop of every turn: connect the model from before it")
    window, known = scene.window, scene.known
    if sigmas is None:
        sigmas = noise_levels(model, known.clean, steps)
    sample = window_sampler(
        model, positive, negative, sigmas, 1, seed=seed, guidance=guidance, sampler=sampler,
        latent_frames=window.new.stop, start=lambda x: x.start(geometry.num_frames, scene.video.fps), index=None,
        first=window.number,
    )  # fmt: skip
    made = sample(window, known)[:, :, window.made].float()
    return made if scene.before is None else torch.cat([scene.before, made.to(scene.before)], dim=2)


@contextmanager
def telling(file: Path) -> Iterator[None]:
    """While a play is decoded: whatever stops it, the user hears that the new turn is kept in `file`."""
    try:
        yield
    except BaseException as error:
        if is_out_of_memory(error):
            raise ValueError(
                f"there is too little memory to decode the play; its new turn is kept in {file}: close other programs"
                " and run again, which goes on from it"
            ) from None
        logging.warning("Sora: the new turn is kept in %s; the next run goes on from it", file)
        raise


class SoraPlayWorld(io.ComfyNode):
    """A game whose world is the model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraPlayWorld",
            display_name="Sora Play World",
            description="Plays a world turn by turn: write what happens next, press Run, and the video goes on from"
            " where it stopped. Every turn is kept on disk, and any can be gone back to. Works with any video model.",
            search_aliases=["game", "interactive video", "continue video", "world simulator", "story"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The model of Load Sora Model, or any other video model."),
                io.Clip.Input("clip", tooltip="Its text encoder, which reads the action."),
                io.Vae.Input("vae", tooltip="Its VAE, which turns the play into a video."),
                io.Latent.Input(
                    "latent",
                    tooltip="How the play begins: a noise grid as long as the first turn, a latent with known frames to"
                    " complete, or an encoded video to go on from. Its size and rate hold for the whole play.",
                ),
                io.String.Input(
                    "action", multiline=True, dynamic_prompts=True,
                    default="a red ball rolls to the right in a meadow during the day",
                    tooltip="What happens in this turn, in all detail: the model reads nothing of earlier turns, but"
                    " sees the end of them.",
                ),
                io.String.Input(
                    "play", default="my world",
                    tooltip="The name of the play. What is kept under it in output/sora_worlds goes on; a new name is a"
                    " new play.",
                ),
                io.Int.Input(
                    "after", default=-1, min=-1, max=99999,
                    tooltip="-1 goes on after the last turn, a number after that turn, 0 begins anew. Later turns are"
                    " not lost: the play with them is kept under the name with a number in brackets.",
                ),
                io.Float.Input(
                    "seconds", default=1.0, min=0.05, max=3600.0, step=0.05,
                    tooltip="What a further turn adds, at least one latent frame.",
                ),
                seed_input("Another seed lets something else happen; the same play with the same seeds is the same"
                           " video."),
                steps_input(),
                guidance_input(),
                sampler_input(partial(advanced, io.Combo)),
                advanced(
                    io.Float, "memory", default=1.0, min=0.05, max=3600.0, step=0.05,
                    tooltip="Seconds of what was there that a turn sees; with the seconds that it adds, as long as the"
                    " clips that the model was trained on.",
                ),
                advanced(
                    io.String, "negative", multiline=True, dynamic_prompts=True, default="",
                    tooltip="What the video should be steered away from; empty is fine.",
                ),
                sigmas_input(),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The whole play so far, on file, for Save Video."),
                io.Latent.Output(
                    display_name="latent", tooltip="The whole play so far, bit for bit as it was sampled."
                ),
                io.String.Output(
                    display_name="story", tooltip="A numbered line for each turn: its seconds and its action."
                ),
                io.Int.Output(display_name="turn", tooltip="The number of the turn that was just played."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **unused: Any) -> str:
        """Every press of Run is a turn, although nothing was changed."""
        return secrets.token_hex(8)

    @classmethod
    def execute(
        cls, model: io.Model.Type, clip: io.Clip.Type, vae: io.Vae.Type, latent: Latent, action: str, play: str,
        after: int, seconds: float, seed: int, steps: int, guidance: float, sampler: str, memory: float, negative: str,
        sigmas: Tensor | None = None,
    ) -> io.NodeOutput:  # fmt: skip
        world, geometry = play_of(play), geometry_of(vae)
        turns = turns_before(world, after)
        latent = beginning(model, latent)
        _, c, t, h, w = latent["samples"].shape
        now = Turn(
            action=action,
            seed=seed,
            video=shape_of(latent, geometry, 0.0),
            latent=LatentShape(channels=c, frames=t, height=h, width=w),
            model=type(model.get_model_object("latent_format")).__name__,
        )
        # The first turn decided which cells hold its size: Sora Place Frames and older versions choose others.
        if turns and replace(now, latent=replace(turns[0].latent, channels=c)).kind != turns[0].kind:
            raise ValueError(
                f"the play {play} is {turns[0].kind}, and what is connected is {now.kind}: connect model and latent as"
                " before, or give play another name"
            )
        if turns:
            scene = following(world, turns, geometry, seconds, memory)
        else:
            scene = opening(latent, geometry, now.video, seconds, memory)
        writable(world.file(len(turns) + 1))  # refused before the work is done
        positive, negative = at_frame_rate(latent, encoded(clip, action), encoded(clip, negative))
        made = sampled(
            model, positive, negative, scene, geometry, seed=seed, steps=steps, guidance=guidance, sampler=sampler,
            sigmas=sigmas,
        )  # fmt: skip
        turn = replace(now, video=scene.video, latent=replace((turns or [now])[0].latent, frames=made.shape[2]))
        aside = world.add(made, turn, len(turns))
        if aside is not None:
            logging.info("Sora: the play with its later turns is kept as %s", aside.name)
        turns.append(turn)
        with telling(world.file(len(turns))):
            whole = to_intermediate(world.latent(turns))
            path = film(vae, whole, world, turns, geometry)
        text = story(turns)
        logging.info("Sora: %s", text.splitlines()[-1])
        video = InputImpl.VideoFromFile(str(path))
        return io.NodeOutput(video, with_size(whole, scene.video), text, len(turns), ui=played(path))
