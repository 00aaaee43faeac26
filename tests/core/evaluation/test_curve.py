"""The curve of score against compute: power laws are found, headers are read, checkpoints are measured in order."""

from __future__ import annotations

import json

import pytest

from sora_core.checkpoint import read_checkpoint, save_checkpoint
from sora_core.evaluation.curve import curve, parse_checkpoint, power_law
from sora_core.evaluation.fidelity import SamplerSettings


def test_a_power_law_is_found_again():
    compute = [1e12, 4e12, 3e13]
    fit = power_law(compute, [7 * c**-0.3 for c in compute])
    assert fit["exponent"] == pytest.approx(0.3)
    assert fit["factor"] == pytest.approx(7)
    assert fit["error"] < 1e-6
    assert power_law(compute, [1.0, 2.0, 0.5])["error"] > 0.1
    with pytest.raises(ValueError, match="two different numbers of trained tokens"):
        power_law([1e12, 1e12], [1.0, 2.0])


def test_trained_tokens_come_from_the_header_or_the_command(nano_file, nano, tmp_path):
    path = tmp_path / "lr=1e-4" / "told.safetensors"
    save_checkpoint(path, nano.config, read_checkpoint(nano_file).parts, about={"tokens": "8,192,000"})
    assert parse_checkpoint(str(path)) == (path, 8_192_000)
    assert parse_checkpoint(f"{path}=2e6") == (path, 2_000_000)
    with pytest.raises(ValueError, match="does not say how many tokens"):
        parse_checkpoint(str(nano_file))
    with pytest.raises(ValueError, match="is no FILE=TOKENS"):
        parse_checkpoint(f"{path}=many")


def test_checkpoints_are_measured_in_order_of_their_compute(nano_file, judge, tmp_path):
    said = []
    entries = [(nano_file, 2_000), (nano_file, 1_000)]
    settings = SamplerSettings(steps=1)
    report = curve(entries, tmp_path / "curve.json", clips=1, settings=settings, judge=judge, say=said.append)
    assert json.loads((tmp_path / "curve.json").read_text(encoding="utf-8")) == report
    assert [row["tokens"] for row in report["checkpoints"]] == [1_000, 2_000]
    assert report["checkpoints"][1]["flops"] == 2 * report["checkpoints"][0]["flops"]
    assert report["checkpoints"][0]["loss"] > 0
    assert report["checkpoints"][0]["reprojection"] > 0
    assert report["power_law"]["exponent"] == pytest.approx(0)  # the same model twice
    assert (tmp_path / "curve.png").is_file() or any("matplotlib" in line for line in said)


@pytest.mark.parametrize(
    ("tokens", "clips", "sentence"),
    [((1_000, 1_000), 1, "two different numbers of trained tokens"), ((1_000, 2_000), 0, "clips is 0")],
)
def test_what_gives_no_curve_is_refused_before_anything_is_measured(nano_file, tmp_path, tokens, clips, sentence):
    said, settings = [], SamplerSettings(steps=1)
    with pytest.raises(ValueError, match=sentence):
        curve([(nano_file, n) for n in tokens], tmp_path / "c.json", clips=clips, settings=settings, say=said.append)
    assert said == []


def test_a_report_in_the_place_of_its_plot_is_refused_before_anything_is_measured(nano_file, tmp_path):
    said, entries = [], [(nano_file, 1_000), (nano_file, 2_000)]
    with pytest.raises(ValueError, match=r"curve\.png is where the plot will be; give the report a name"):
        curve(entries, tmp_path / "curve.png", clips=1, settings=SamplerSettings(steps=1), say=said.append)
    assert said == []


def test_a_file_that_is_missing_is_told_before_the_others_are_measured(nano_file, tmp_path):
    said, entries = [], [(nano_file, 1_000), (tmp_path / "none.safetensors", 2_000)]
    with pytest.raises(FileNotFoundError, match="none"):
        curve(entries, tmp_path / "c.json", clips=1, settings=SamplerSettings(steps=1), say=said.append)
    assert said == []


def test_a_curve_that_is_cut_off_leaves_the_models_that_were_measured(nano_file, tmp_path, monkeypatch):
    measured = iter([{"reprojection error": {"generated": 0.5}}])

    def once(bench):
        try:
            return next(measured)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("sora_core.evaluation.curve.geometry_report", once)
    entries, settings = [(nano_file, 1_000), (nano_file, 2_000)], SamplerSettings(steps=1)
    with pytest.raises(KeyboardInterrupt):
        curve(entries, tmp_path / "c.json", clips=1, settings=settings, say=lambda _: None)
    left = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert [row["tokens"] for row in left["checkpoints"]] == [1_000]
