"""Sora's text encoder as ComfyUI's CLIP: hashed words in, token states out."""

from __future__ import annotations

import logging
from typing import Any

import comfy.model_management
import comfy.ops
import torch
from comfy.sd1_clip import escape_important, token_weights, unescape_important
from torch import Tensor, nn

from sora_core.config import TextConfig
from sora_core.text.encoder import TextEncoder
from sora_core.text.tokenizer import Tokenizer

NAME = "sora"
MOST_NAMED = 64
"""Words that are not seen and named: a whole novel would bury the log."""
Tokens = dict[str, list[list[tuple[Any, ...]]]]
"""ComfyUI's tokens: encoder name -> prompts -> (ids, weight); ids are the features of one word."""


def without_weights(text: str) -> str:
    """A prompt without ComfyUI's weights, as in (red:1.2), whose numbers would be read as words."""
    parts = [(unescape_important(part), weight) for part, weight in token_weights(escape_important(text), 1.0)]
    weighted = [f"{part.strip()} ({weight:g})" for part, weight in parts if weight != 1]
    if not weighted:
        return text
    logging.info(f"Sora reads all words of a prompt alike, without these weights: {', '.join(weighted[:MOST_NAMED])}")
    return "".join(part for part, _ in parts)


class SoraTokenizer:
    """Turns a prompt into ComfyUI's tokens."""

    def __init__(self, config: TextConfig, embedding_directory: Any = None, tokenizer_data: Any = None):
        self.tokenizer = Tokenizer(config.max_tokens, config.buckets, config.ngrams)

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **options: Any) -> Tokens:
        from sora_core.text.known_words import unknown_note  # reads all captions' words, which the start does not need

        text = without_weights(text)
        lost = self.tokenizer.overflow(text)
        if lost:
            more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
            logging.warning(
                f"Sora reads {self.tokenizer.max_tokens} words of a prompt; it does not see:"
                f" {' '.join(lost[:MOST_NAMED])}{more}"
            )
        unknown = unknown_note(text)
        if unknown:
            logging.info(f"Sora: {unknown}")
        words = self.tokenizer.tokenize(text)[: self.tokenizer.max_tokens]
        number = [(i + 1,) if return_word_ids else () for i in range(len(words))]
        return {NAME: [[(word.features, 1.0, *place) for word, place in zip(words, number, strict=True)]]}

    def untokenize(self, token_weight_pair: list[tuple[Any, ...]]) -> list[tuple[Any, str]]:
        """Pairs of a token and its text; hashes cannot be turned back, so the text is the ids."""
        return [(pair, str(pair[0])) for pair in token_weight_pair]

    def state_dict(self) -> dict[str, Tensor]:
        return {}


class Operations(comfy.ops.manual_cast):
    """ComfyUI's layers, with embeddings that come out in full precision whatever they are stored in."""

    class Embedding(comfy.ops.manual_cast.Embedding):
        """Half-precision sums over a word's n-grams would lose what tells words apart."""

        def forward(self, *args: Any, **kwargs: Any) -> Tensor:
            return super().forward(*args, **{"out_dtype": torch.float32, **kwargs})


class SoraTextModel(nn.Module):
    """What ComfyUI's CLIP loads and runs; the encoder is the submodule `sora`."""

    def __init__(self, config: TextConfig, device: Any = None, dtype: Any = None, model_options: Any = None):
        super().__init__()
        self.sora = TextEncoder(config, operations=Operations, dtype=dtype, device=device).eval()
        self.dtypes = {dtype}
        self.execution_device: torch.device | None = None

    def reset_clip_options(self) -> None:
        self.execution_device = None

    def set_clip_options(self, options: dict[str, Any]) -> None:
        self.execution_device = options.get("execution_device", self.execution_device)

    def load_sd(self, sd: dict[str, Tensor]) -> Any:
        return self.load_state_dict(sd, strict=False, assign=getattr(self, "can_assign_sd", False))

    def encode_token_weights(self, token_weight_pairs: Tokens) -> tuple[Tensor, None, dict[str, Tensor]]:
        """Token states `b l width`, no pooled vector, and the mask `b l`; always `max_tokens` long.

        One length keeps positive and negative prompts in one pass of the model.
        """
        prompts, config = token_weight_pairs[NAME], self.sora.config
        ids = torch.zeros(len(prompts), config.max_tokens, config.ngrams, dtype=torch.int64)
        mask = torch.zeros(len(prompts), config.max_tokens, dtype=torch.bool)
        for i, prompt in enumerate(prompts):
            for j, (features, *_) in enumerate(prompt[: config.max_tokens]):
                ids[i, j, : len(features)] = torch.tensor(features)
                mask[i, j] = True
        device = self.execution_device or self.sora.place_embed.weight.device
        states = self.sora(ids.to(device), mask.to(device))
        keep = comfy.model_management.intermediate_device()
        return states.to(keep, torch.float32), None, {"attention_mask": mask.to(keep)}
