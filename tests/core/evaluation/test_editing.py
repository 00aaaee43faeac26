"""The editing report of a tiny model: every row is measured, drawn and written, and wrong requests are refused."""

import json

import pytest
import torch

from sora_core.cli import main
from sora_core.data.worlds.attributes import ATTRIBUTES
from sora_core.evaluation import editing_rows
from sora_core.evaluation.editing import ROWS, evaluate_editing
from sora_core.evaluation.editing_bench import SHAPE, Bench, Row, films, restyled
from sora_core.evaluation.fidelity import SamplerSettings
from sora_core.evaluation.prompts import described
from sora_core.pipeline import Sora
from sora_core.video import VideoReader


@pytest.fixture(scope="module")
def bench(nano, judge):
    return Bench(nano, judge, 2, SamplerSettings(steps=2))


@pytest.fixture(scope="module")
def made(nano_file, judge_file, tmp_path_factory):
    """A whole report with two seeds and one step, its folder, and what was said."""
    folder, said = tmp_path_factory.mktemp("report"), []
    report = evaluate_editing(
        nano_file, folder / "editing.json", seeds=2, steps=1, sheets=folder / "sheets", judge=judge_file,
        say=said.append,
    )  # fmt: skip
    return report, folder, said


def promises(report, row):
    return {line["name"]: line for line in report["rows"][row]["promises"]}


def test_every_row_is_measured_written_and_drawn(made):
    from PIL import Image

    report, folder, said = made
    assert json.loads((folder / "editing.json").read_text(encoding="utf-8")) == report
    assert list(report["rows"]) == ["animate", "extend", "loop", "edit", "connect"]
    for name, row in report["rows"].items():
        assert row["promises"]
        assert row["sheet"]
        with Image.open(folder / "sheets" / f"{name}.png") as sheet:
            assert min(sheet.size) >= 64
        assert any(text.startswith(f"{name}:") for text in said)
    with VideoReader(folder / "sheets" / "loop_0.mp4") as loop:
        assert sum(len(part) for part in loop) == 4 * 16


def test_what_holds_for_any_weights_is_met(made):
    """Even random weights keep what is given, make exact loops and know both ends of strength."""
    report, *_ = made
    always = {
        "animate": ["first frame, dB above compression alone"],
        "extend": ["shared part forward, dB above compression alone"],
        "loop": ["rolled noise, largest difference from the rolled loop"],
        "edit": ["strength 0, largest difference from the video's own latent",
                 "strength 1, largest difference from text to video"],
    }  # fmt: skip
    for row, names in always.items():
        for name in names:
            assert promises(report, row)[name]["met"], name


def test_a_model_that_forgets_its_image_misses_the_first_frame(judge, monkeypatch):
    bench = Bench(Sora.load(), judge, 2, SamplerSettings(steps=1))  # a random compression network forgets all images
    monkeypatch.setattr(
        editing_rows.recipes, "animate",
        lambda sora, image, model, shape, seed, sampling: torch.zeros(len(image), *sora.latent_shape(shape).dims),
    )  # fmt: skip
    (name, value, _, bound), *_ = editing_rows.animate(bench).promises
    assert name == "first frame, dB above compression alone"
    assert value < bound


def test_equal_noise_for_all_beginnings_is_found_out(bench, monkeypatch):
    original = editing_rows.extended
    monkeypatch.setattr(
        editing_rows, "extended", lambda bench, part, sources, way, draw: original(bench, part, sources, way, 0)
    )
    values = {name: value for name, value, *_ in editing_rows.extend(bench).promises}
    assert values["least distance of four beginnings over that of their equal endings"] < 3


def test_long_latent_frames_have_no_others_to_compare_a_border_with(slow, judge):
    row = editing_rows.extend(Bench(slow, judge, 2, SamplerSettings(steps=1)))
    values = {name: value for name, value, *_ in row.promises}
    for way in editing_rows.GIVEN:
        assert values[f"acceleration at the border {way}, over other latent frames"] is None
        assert values[f"acceleration at the border {way}, over all others"] > 0


def test_restyled_prompts_keep_the_subject_and_change_the_world():
    for prompt in described(12, held_out=False, style="descriptive"):
        new = restyled(prompt)
        kept = [name for name in ATTRIBUTES if getattr(new.attributes, name) == getattr(prompt.attributes, name)]
        assert set(ATTRIBUTES) - set(kept) == {"environment", "time"}
        assert new.text != prompt.text


def test_sources_that_shall_move_do(bench):
    prompts = bench.sources(moving=True)
    assert len(prompts) == 2
    assert all(prompt.wanted["motion"] != "still" for prompt in prompts)
    assert films(prompts).shape == (2, 3, SHAPE.num_frames, SHAPE.height, SHAPE.width)


def test_wrong_requests_are_refused(nano_file, judge_file, tmp_path, capsys):
    with pytest.raises(ValueError, match="no row 'colour' of the editing report; choose from animate"):
        evaluate_editing(nano_file, rows=("colour",), judge=judge_file)
    with pytest.raises(ValueError, match="seeds is 1; it must be at least 2"):
        evaluate_editing(nano_file, seeds=1, judge=judge_file)
    out = str(tmp_path / "report.json")
    assert main(["evaluate", "--out", out, "--seeds", "4"]) == 2
    assert "--seeds does nothing without --editing" in capsys.readouterr().err
    assert main(["evaluate", "--editing", "--out", out, "--real", str(tmp_path)]) == 2
    assert "--real does nothing with --editing" in capsys.readouterr().err
    assert main(["evaluate", "--editing", "--out", out, "--parts", "colour"]) == 2


def test_sheets_that_would_be_in_the_place_of_a_file_are_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "sheets").write_text("notes")
    command = ["evaluate", "--editing", "--out", str(tmp_path / "report.json"), "--sheets", str(tmp_path / "sheets")]
    assert main([*command, "--checkpoint", str(tmp_path / "none.safetensors")]) == 2
    assert "sheets is a file; give the name of a folder" in capsys.readouterr().err


def test_a_sheet_that_cannot_be_drawn_costs_no_figure(nano_file, judge_file, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setitem(ROWS, "loop", lambda bench: Row(promises=[("closes", 1.0, "<=", 1.1)]))
    monkeypatch.setattr("sora_core.evaluation.editing.draw", full)
    out = tmp_path / "report.json"
    with pytest.raises(OSError, match="No space"):
        evaluate_editing(nano_file, out, seeds=2, rows=("loop",), sheets=tmp_path, judge=judge_file)
    assert json.loads(out.read_text(encoding="utf-8"))["rows"]["loop"]["promises"][0]["met"]
