"""Scores are read against ceilings, and the summary judges only what was measured."""

from __future__ import annotations

from sora_core.evaluation.score import Tally, scored
from sora_core.evaluation.summary import fewest_steps, summary, table


def _tally(**counts: tuple[int, int]) -> Tally:
    tally = Tally()
    for name, (right, asked) in counts.items():
        for i in range(asked):
            tally.add({name: "x"}, {name: "x" if i < right else "y"})
    return tally


def test_shares_are_scores_over_ceilings():
    result = scored(_tally(subject=(3, 4), motion=(1, 4)), _tally(subject=(10, 10), motion=(5, 10)))
    assert result["attributes"]["motion"] == {"score": 0.25, "ceiling": 0.5, "share": 0.5, "asked": 4}
    assert (result["score"], result["share"], result["worst"]) == (0.5, 0.625, "motion")
    assert 0 < result["error"] < 0.2


def test_what_is_not_judged_is_not_counted():
    tally = Tally()
    tally.add({"subject": "ball", "motion": "left"}, {"subject": "ball"})
    assert tally.asked["motion"] == 0
    assert scored(tally, Tally())["share"] == 1.0
    assert scored(Tally(), Tally())["score"] is None


def test_few_clips_that_agree_are_not_certain():
    errors = [scored(_tally(subject=(n, n)), Tally())["error"] for n in (1, 10, 100)]
    assert errors[0] > 0.25 > errors[1] > errors[2] > 0


def test_a_ceiling_that_was_not_measured_is_not_claimed():
    result = scored(_tally(subject=(1, 2)), Tally())
    assert result["attributes"]["subject"]["ceiling"] is None
    assert "0.50/?" in table({"text": {"seeds en short": result}, "summary": []})


def test_languages_are_compared_on_what_both_were_asked_for():
    full = _tally(subject=(10, 10), motion=(10, 10))
    report = {"text": {"seeds en short": scored(_tally(subject=(9, 10), motion=(0, 10)), full),
                       "seeds zh short": scored(_tally(subject=(9, 10)), full)}}  # fmt: skip
    assert {line["name"]: line["value"] for line in summary(report)}["English minus Chinese"] == 0


def test_the_table_ends_with_shares_over_every_row_of_text():
    full = _tally(subject=(10, 10), time=(10, 10))
    rows = {"seeds en short": scored(_tally(subject=(1, 10)), full),
            "seeds zh short": scored(_tally(subject=(8, 30), time=(5, 10)), full)}  # fmt: skip
    line = next(line for line in table({"text": rows, "summary": []}).splitlines() if line.startswith("all text"))
    assert [cell for cell in line.split()[5:] if cell != "-"] == ["0.23", "0.50", "0.363"]


def test_tallies_add_up():
    both = _tally(subject=(1, 2)) + _tally(subject=(1, 2), time=(2, 2))
    assert both.accuracy() == {"subject": 0.5, "time": 1.0}


def _row(right: int) -> dict:
    return scored(_tally(subject=(right, 100)), _tally(subject=(100, 100)))


def test_fewest_steps_is_within_two_points_of_the_most():
    assert fewest_steps({"steps": {"4 steps": _row(80), "8 steps": _row(93), "50 steps": _row(94)}}) == 8
    assert fewest_steps({}) is None


def test_promises_are_met_or_missed():
    report = {
        "text": {
            "seeds en short": _row(95), "seeds zh short": _row(85), "seeds en descriptive": _row(99),
            "seeds zh descriptive": _row(97), "combinations en short": _row(70),
        },
        "aspects": {"80x80": _row(90), "40x160": _row(80)},
        "speed": {"cpu_seconds": 3.0},
    }  # fmt: skip
    report["summary"] = summary(report)
    met = {line["name"]: line["met"] for line in report["summary"]}
    assert met == {
        "text, held-out seeds, share of ceiling": True,
        "text, held-out combinations, share of ceiling": False,
        "text, worst attribute, share of ceiling": True,
        "English minus Chinese": True,
        "descriptive minus short": True,
        "spread over aspect ratios (chance alone: at most about 0.14)": False,
        "25 frames of 128x128, CPU seconds": True,
    }
    text = table(report)
    assert "0.95/1.00" in text
    assert text.count("MISSED") == 2
