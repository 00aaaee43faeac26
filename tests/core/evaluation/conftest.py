"""A judge with random weights, in memory and on file."""

import pytest
import torch

from sora_core.evaluation.judge import Judge, save_judge


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
