"""The block that trains a Sora model further on clips of the user's own."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io
from torch import Tensor

from sora_core.editing.long_state import fingerprint
from sora_core.files import writable

from .comfy_model.loading import load
from .editing_media import movie_input
from .folders import model_path, model_state, new_model_path
from .load import checkpoint_input
from .long import fingerprint_of
from .movie import frames_of, interruptible, selected, shown_at
from .prompt import panel_text
from .sampling_inputs import seed_input
from .schema import advanced, schema
from .unfinished import unfinished

if TYPE_CHECKING:
    from sora_core.data.pieces import Piece
    from sora_core.pipeline import Sora
    from sora_core.training.further import Further


def captions_for(captions: Sequence[str], clips: int) -> list[str]:
    """A caption for each clip: a text of a list or a line of a single text each, or one for all; empty for none.

    Raises ValueError for another number of them.
    """
    texts = list(captions)
    if len(texts) == 1 and clips > 1:
        texts = [line for line in texts[0].splitlines() if line.strip()] or [""]
    texts = [" ".join(text.split()) for text in texts]
    if len(texts) == 1:
        texts *= clips
    if len(texts) != clips:
        raise ValueError(
            f"there are {len(texts)} captions for {clips} {'clip' if clips == 1 else 'clips'}; give one for each clip,"
            " as a list or a line each, or a single one for all"
        )
    return texts


def frames_in(clip: Any, fps: float, side: int, step: int) -> Tensor:
    """Frames `t h w 3` (uint8) of an IMAGE or a VIDEO as the model is to see them; a VIDEO is converted to `fps`.

    Only what is kept is held in memory. Raises ValueError for a clip without frames or with too small ones.
    """
    from sora_core.data.pieces import resized, size_for

    chunks, rate, total = frames_of(clip, 16, fps)
    if not total:
        raise ValueError("it holds no frames")
    shown = selected(interruptible(chunks, total), shown_at(total, rate, fps))
    return torch.cat([resized(part, *size_for(*part.shape[1:3], side, step)) for part in shown])


def pieces_in(
    clips: Sequence[Any], captions: Sequence[str], sora: Sora, fps: float, side: int, seconds: float
) -> list[Piece]:
    """All clips, cut into pieces that this model can be trained on. Raises ValueError that names the clip at fault."""
    from sora_core.data.pieces import Piece, cut

    cells, pieces = sora.config.vae.compression, []
    step = cells.space * sora.config.dit.patch[1]
    for number, (clip, caption) in enumerate(zip(clips, captions, strict=True), start=1):
        try:
            frames = frames_in(clip, fps, side, step)
            pieces += [Piece(part, caption) for part in cut(frames, seconds, fps, cells)]
        except ValueError as error:
            raise ValueError(f"clip {number}: {error}") from None
    return pieces


def run_folder(sora: Sora, pieces: Sequence[Piece], how: Further, fps: float) -> Path:
    """The folder of a run, named by everything that decides what becomes of it."""
    weights = [value for part in (sora.dit, sora.vae, sora.text) for value in part.state_dict().values()]
    about = [repr(sora.config), repr(how), fps, [piece.caption for piece in pieces]]
    held = fingerprint([*weights, *(piece.frames for piece in pieces)])
    return unfinished(f"train_{fingerprint_of(json.dumps([held, about]))}")


def train_in(run: Path, sora: Sora, pieces: Sequence[Piece], how: Further, fps: float) -> tuple[float, float]:
    """Encode the pieces and train to the end; returns the loss before and after.

    A run that was cancelled has saved its last step. One that diverged is deleted, as it would do so again.
    """
    from sora_core.data.pieces import encode_pieces
    from sora_core.training.further import DivergedError, further_task, train_further

    shards = []
    for shard in encode_pieces(sora.vae, pieces, fps):
        comfy.model_management.throw_exception_if_processing_interrupted()
        shards.append(shard)
    progress = comfy.utils.ProgressBar(how.steps)

    def watch(step: int, loss: float) -> bool:
        asked = comfy.model_management.processing_interrupted()
        if not asked:  # else a server's progress bar would raise, before the step is saved
            progress.update_absolute(step)
        return asked

    try:
        return train_further(
            further_task(sora, shards, how), how, run, say=lambda line: logging.info("Sora: %s", line), watch=watch
        )
    except KeyboardInterrupt:
        logging.info("Sora: the training is kept in %s; the same inputs go on from there", run)
        comfy.model_management.throw_exception_if_processing_interrupted()
        raise
    except DivergedError:
        shutil.rmtree(run, ignore_errors=True)
        raise


def described(losses: tuple[float, float], how: Further, pieces: Sequence[Piece], clips: int, spent: float) -> str:
    """What the block says of a training that is done."""
    before, after = losses
    advice = "; it rose: a lower learning rate may be better" if after > before else ""
    return (
        f"loss {before:.4g} before, {after:.4g} after{advice}\n"
        f"{how.steps} steps on {len(pieces)} pieces of {clips} {'clip' if clips == 1 else 'clips'} in {spent:.0f} s"
    )


class SoraTrain(io.ComfyNode):
    """Clips in, a model file out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="SoraTrain",
            display_name="Sora Train Model",
            description="Trains a Sora model further on clips of your own and writes a new model file, which Load Sora"
            " Model lists. A training that was cancelled or cut off goes on from its last state when it is run again"
            " with the same inputs.",
            search_aliases=["finetune", "fine-tuning", "training", "dreambooth", "learn"],
            inputs=[
                checkpoint_input(
                    "The model to begin with: the bundled one, or a .safetensors file in models/sora or output/sora."
                ),
                movie_input(
                    "clips",
                    "A VIDEO, or a batch of images as one clip; or a list of them. A single image is a still picture.",
                ),
                io.String.Input(
                    "captions", multiline=True, default="",
                    tooltip="What the clips show, as prompts will say it: a list with a text for each clip, a line for"
                    " each, or one for all. Empty: they are shown without a prompt.",
                ),
                io.Int.Input(
                    "steps", default=200, min=1, max=1_000_000,
                    tooltip="How often the weights are changed. A few clips are known after hundreds; more steps make"
                    " the model forget other things.",
                ),
                io.Float.Input(
                    "learning_rate", default=1e-4, min=1e-6, max=1.0, step=1e-6,
                    tooltip="How much each step changes at most; higher learns and forgets faster. If the loss rises,"
                    " take a lower one.",
                ),
                seed_input("Another seed draws other pieces and noise; the same seed is the same training."),
                io.String.Input(
                    "name", default="my model",
                    tooltip="Of the new file in output/sora; a number is added to a name that exists.",
                ),
                advanced(
                    io.Float, "fps", default=8.0, min=0.1, max=240.0, step=0.1,
                    tooltip="Frames per second that the model sees: a VIDEO is converted, images are taken as they"
                    " are.",
                ),
                advanced(
                    io.Int, "side", default=128, min=16, max=2048, step=16,
                    tooltip="Pixels of the shorter side that larger clips are reduced to; the aspect is kept.",
                ),
                advanced(
                    io.Float, "seconds", default=2.0, min=0.0, max=3600.0, step=0.05,
                    tooltip="Longer clips are cut into pieces of so many seconds; 0 makes pictures of all frames.",
                ),
                advanced(
                    io.Float, "pictures", default=0.3, min=0.0, max=1.0, step=0.05,
                    tooltip="Share of single frames among what is shown; more teaches looks, less teaches motion.",
                ),
                advanced(
                    io.Float, "blend", default=1.0, min=0.05, max=1.0, step=0.05,
                    tooltip="Share of the trained weights in the file, the rest being those it began with: below 1 it"
                    " forgets less.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The trained model, for any sampler."),
                io.Clip.Output(display_name="clip", tooltip="Its text encoder, which was not changed."),
                io.Vae.Output(display_name="vae", tooltip="Its VAE, which was not changed."),
                io.String.Output(display_name="name", tooltip="The file, as Load Sora Model lists it."),
                io.String.Output(display_name="report", tooltip="Loss before and after, steps, clips and seconds."),
            ],
            is_input_list=True,
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, checkpoint: Sequence[str | None], **_: Any) -> str:
        """A file that was replaced is trained again, unless another block gives its name.

        What is trained is a new file, so that a change of any would have it trained at every run.
        """
        return "" if checkpoint[0] is None else model_state(checkpoint[0])

    @classmethod
    def execute(
        cls, checkpoint: list[str], clips: list[Any], captions: list[str], steps: list[int],
        learning_rate: list[float], seed: list[int], name: list[str], fps: list[float], side: list[int],
        seconds: list[float], pictures: list[float], blend: list[float],
    ) -> io.NodeOutput:  # fmt: skip
        from sora_core.pipeline import Sora
        from sora_core.training.further import Further, export_further

        begun = time.perf_counter()
        for path in (new_model_path(name[0]), unfinished("train.safetensors")):
            writable(path)  # refused before the work is done
        base = model_path(checkpoint[0])
        told = captions_for(captions, len(clips))
        how = Further(steps=steps[0], lr=learning_rate[0], seed=seed[0], pictures=pictures[0])
        # What other blocks left on the card would leave no room, and PyTorch does not ask ComfyUI for more.
        comfy.model_management.unload_all_models()
        # Blocks run where nothing can be differentiated.
        with torch.inference_mode(False), torch.enable_grad():
            sora = Sora.load(base, device=comfy.model_management.get_torch_device())
            note = sora.text.tokenizer().unread_note(told)
            if note:
                logging.warning("Sora: %s", note)  # before the work, too
            pieces = pieces_in(clips, told, sora, fps[0], side[0], seconds[0])
            run = run_folder(sora, pieces, how, fps[0])
            losses = train_in(run, sora, pieces, how, fps[0])
            path = new_model_path(name[0])
            export_further(run, base, path, blend[0])
        loaded = load(path)
        shutil.rmtree(run, ignore_errors=True)
        report = f"{path.name}: {described(losses, how, pieces, len(clips), time.perf_counter() - begun)}"
        report = f"{report}\n{note}" if note else report
        return io.NodeOutput(*loaded, path.name, report, ui=panel_text(report))
