"""A judge with random weights, in memory and on file, and a model with long latent frames."""

from dataclasses import replace

import pytest
import torch

from sora_core.config import preset
from sora_core.evaluation.judge import Judge, save_judge
from sora_core.pipeline import Sora


@pytest.fixture(scope="package")
def judge() -> Judge:
    judge = Judge()
    judge.initialise(torch.Generator().manual_seed(0))
    return judge.eval()


@pytest.fixture(scope="package")
def judge_file(judge, tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    save_judge(path, judge.state_dict())
    return path


@pytest.fixture(scope="package")
def slow(model_file) -> Sora:
    """A tiny model whose latent frames hold 8 frames, as those of the largest family members."""
    config = preset("nano")
    return Sora.load(model_file(replace(config, vae=replace(config.vae, wavelet=(4, 4, 4)))))
