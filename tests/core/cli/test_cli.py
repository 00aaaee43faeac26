"""The command line: help that is instant, errors that are one line, exit codes that can be trusted."""

import json
import os
import signal
import subprocess
import sys

import pytest

from sora_core.cli import DONE, FAILED, INTERRUPTED, WRONG_INPUT, main
from sora_core.cli.generate import SAMPLERS as CLI_SAMPLERS
from sora_core.cli.run import widgets
from sora_core.config import PRESETS
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.evaluation.evaluate import PARTS
from sora_core.video import VideoReader

COMMANDS = ("generate", "finish", "run", "caption", "train", "worlds", "export", "evaluate", "info")


def run(*arguments):
    """Runs a command in this process; argparse leaves by SystemExit, the commands themselves return."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    assert run(command, "--help") == DONE
    said = capsys.readouterr().out
    assert "examples:\n  sora" in said
    assert f"usage: sora {command}" in said


def test_what_a_pipe_on_windows_has_no_letters_for_is_printed_as_escapes():
    command = [sys.executable, "-m", "sora_core", "generate", "--help"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252:strict"})
    assert done.returncode == DONE, done.stderr
    assert rb"\u9e2d" in done.stdout  # of the example in Chinese


def test_without_torch_one_line_says_where_it_is_to_be_had():
    code = "import sys; sys.modules['torch'] = None; from sora_core.cli import main; sys.exit(main(['info']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == FAILED
    assert done.stderr.startswith("sora info: PyTorch is not installed")
    assert done.stderr.count("\n") == 1


def test_help_loads_neither_torch_nor_anything_heavy():
    code = (
        "import sys; from sora_core.cli import build_parser; build_parser().format_help();"
        "print({'torch', 'numpy', 'av', 'tqdm', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_python_dash_m_runs_the_same_program():
    done = subprocess.run([sys.executable, "-m", "sora_core", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sora 0.")


def test_choices_that_the_parser_repeats_are_those_of_the_library(capsys):
    assert set(CLI_SAMPLERS) == set(SAMPLERS)
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert ", ".join(PRESETS) in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert f"only these: {' '.join(PARTS)}, or" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "sora: the following arguments are required: COMMAND"),
        (["paint"], "sora: argument COMMAND: invalid choice: 'paint'"),
        (["generate"], "sora generate: the following arguments are required: PROMPT"),
        (["generate", "a", "--size", "64"], "sora generate: argument --size: '64' is no size"),
        (["generate", "a", "--size", "0x64"], "sora generate: width is 0; it must be at least 1"),
        (["generate", "a", "--size", "64x-3"], "sora generate: height is -3"),
        (["generate", "a", "--seconds", "nan"], "sora generate: seconds is nan; it must be 0"),
        (["generate", "a", "--seconds", "-1"], "sora generate: seconds is -1.0"),
        (["generate", "a", "--fps", "0"], "sora generate: fps is 0.0; it must be a positive number"),
        (["generate", "a", "--out", "a.gif"], "sora generate: a.gif ends in .gif; use .mp4, .mov, .mkv, .webm, .png"),
        (["generate", "a", "--sampler", "magic"], "sora generate: argument --sampler: invalid choice: 'magic'"),
        (["generate", "a", "--checkpoint", "none.safetensors"], "sora generate: there is no checkpoint none"),
        (["generate", "a", "--window", "0"], "sora generate: --window is 0 seconds; it must be above 0"),
        (["finish", "a.mp4", "a", "--tile", "-1"], "sora finish: --tile is -1 pixels; it must be at least 1"),
        (["evaluate", "--long", "--clips", "4", "--out", "o"], "sora evaluate: --clips does nothing with --long"),
        (["evaluate", "--seeds", "0", "--out", "o"], "sora evaluate: --seeds does nothing without --editing"),
        (
            ["evaluate", "--editing", "--checkpoints", "a", "--out", "o"],
            "sora evaluate: --checkpoints does nothing with",
        ),
        (["evaluate", "--editing", "--steps", "0", "--out", "o"], "sora evaluate: --steps is 0; it must be at least 1"),
        (["evaluate", "--sheets", "d", "--out", "o"], "sora evaluate: --sheets does nothing without --editing"),
        (
            ["evaluate", "--real", ".", "--parts", "text", "--out", "o"],
            "sora evaluate: --real does nothing without the part vae",
        ),
        (["info", "none.safetensors"], "sora info: there is no checkpoint none.safetensors"),
        (["info", "."], "sora info: . is a folder, not a checkpoint; give the name of a file"),
        (["run", "none.json"], "sora run: there is no workflow none.json"),
        (["run", "none.json", "--set", "prompt"], "sora run: --set 'prompt' is no assignment; write NODE.INPUT=VALUE"),
        (["train", "vae", "--out", "o", "--steps", "5"], "sora train: training the vae needs --data DIR"),
        (["train", "text", "--out", "o", "--steps", "5", "--data", "d"], "sora train: --data does nothing for the"),
        (["train", "vae", "--out", "o", "--steps", "5", "--pictures", "0"], "sora train: --pictures does nothing for"),
        (
            ["train", "captioner", "--out", "o", "--steps", "5", "--preset", "S"],
            "sora train: --preset does nothing for the captioner",
        ),
        (["train", "vae", "--out", "o", "--steps", "0"], "sora train: --steps is 0; it must be at least 1"),
        (["train", "vae", "--out", "o", "--steps", "5", "--lr", "nan"], "sora train: --lr is nan; it must be above 0"),
        (["train", "vae", "--out", "o", "--steps", "5", "--preset", "huge"], "sora train: there is no preset 'huge'"),
        (["train", "vae", "--out", "o", "--steps", "5", "--data", "none"], "sora train: none holds no .safetensors"),
        (["worlds", "--out", "o", "--clips", "0"], "sora worlds: --clips is 0; it must be at least 1"),
        (
            ["export", "--vae", "a", "--text", "b", "--dit", "c", "--out", "m.safetensors"],
            "sora export: there is no training state a/state.safetensors",
        ),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line_and_exit_code_2(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == WRONG_INPUT
    said = capsys.readouterr()
    assert said.err.startswith(sentence)
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_workflow_is_a_request_that_cannot_be_met(capsys, tmp_path):
    path = tmp_path / "workflow.json"
    path.write_text("import torch")
    assert run("run", path) == WRONG_INPUT
    assert "cannot be read as JSON" in capsys.readouterr().err


def test_without_what_a_comfyui_needs_the_command_that_installs_it_is_named(tmp_path):
    (tmp_path / "workflow.json").write_text("{}")
    code = "import sys; sys.modules['aiohttp'] = None; from sora_core.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "run", str(tmp_path / "workflow.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == FAILED
    assert done.stderr.startswith("sora run: aiohttp is not installed; `make setup` in the repository")
    assert done.stderr.count("\n") == 1


def test_a_failure_of_the_machine_and_an_interruption_have_their_own_codes(capsys, monkeypatch, tmp_path, nano_file):
    (tmp_path / "file").write_text("")
    assert run("worlds", "--shards", 1, "--clips", 1, "--out", tmp_path / "file" / "data") == FAILED
    assert capsys.readouterr().err.splitlines()[-1].startswith("sora worlds: ")

    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("sora_core.checkpoint.read_checkpoint", interrupt)
    assert run("info", nano_file) == INTERRUPTED


def test_a_request_to_end_is_an_interruption(monkeypatch, tmp_path, nano_file):
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGHUP)}

    def end(path):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("sora_core.checkpoint.read_checkpoint", end)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert run("info", nano_file) == INTERRUPTED
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, "nohup is obeyed"
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def test_long_videos_at_few_frames_a_second_are_made(tmp_path, nano_file):
    out = tmp_path / "slow.mp4"
    slow = ["--seconds", 8, "--fps", 1, "--size", "16x16", "--steps", 1]
    assert run("generate", "a red ball", "--checkpoint", nano_file, *slow, "--out", out) == DONE
    assert VideoReader(out).num_frames == 8


def test_info_tells_what_a_file_holds(capsys, nano_file):
    assert run("info", nano_file) == DONE
    said = capsys.readouterr().out
    assert "preset nano" in said
    assert "one latent cell: 4 frames, 8x8 pixels, 16 channels" in said
    assert "dit: 1,801,920 parameters, float16" in said
    assert "text_tokens: 8" in said


def test_info_tells_what_training_a_family_member_needs(capsys, nano_file):
    assert run("info", "--preset", "XXL") == DONE
    said = capsys.readouterr().out
    assert "dit: 10,157,744,640 parameters" in said
    assert "divides 95 % of the transformer" in said
    needs = [float(line.split()[-2]) for line in said.splitlines() if line.endswith(" GB")]
    assert needs == sorted(needs, reverse=True)
    assert needs[3] < 80 < needs[0]  # eight cards of 80 GB hold what one does not
    assert run("info", nano_file, "--preset", "S") == WRONG_INPUT
    assert "--preset S does nothing with" in capsys.readouterr().err


def test_widget_values_are_json_where_they_can_be():
    assert widgets(["A.steps=4", "A.prompt=a red ball", 'B.text="4"', "C.x=a=b"]) == {
        "A.steps": 4, "A.prompt": "a red ball", "B.text": "4", "C.x": "a=b",
    }  # fmt: skip


def test_a_model_goes_from_worlds_through_training_to_a_video(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sora_core.training.vae.PIXELS", 5_000)
    monkeypatch.setattr("sora_core.data.generate.SIZES", ((64, 96),))
    monkeypatch.setattr("sora_core.training.dit.PROMPTS", ("a red ball",))
    data, common = tmp_path / "data", ["--preset", "nano", "--steps", 2]
    assert run("worlds", "--out", data, "--shards", 1, "--clips", 2) == DONE
    assert run("train", "vae", "--data", data, "--out", tmp_path / "vae", *common) == DONE
    assert run("train", "text", "--out", tmp_path / "text", *common) == DONE
    parts = ["--vae", tmp_path / "vae", "--text", tmp_path / "text"]
    assert run("train", "dit", "--data", data, *parts, "--out", tmp_path / "dit", *common) == DONE
    model = tmp_path / "model.safetensors"
    capsys.readouterr()
    assert run("export", *parts, "--dit", tmp_path / "dit", "--preset", "nano", "--out", model) == DONE
    assert capsys.readouterr().out == f"{model}\n"
    about = json.loads((tmp_path / "dit" / "log.jsonl").read_text().splitlines()[-1])
    assert about["step"] == 2
    assert list((tmp_path / "vae").glob("sheet_*.png"))
    assert run("generate", "a red ball", "--checkpoint", model, "--steps", 1, "--out", tmp_path / "a.png") == DONE
    assert (tmp_path / "a.png").stat().st_size > 0
