"""The report in few lines: the promises with what was measured, and a table of every score beside its ceiling."""

from __future__ import annotations

from typing import Any

from ..data.worlds.attributes import ATTRIBUTES

_SHORT = {"environment": "environm.", "second_subject": "2nd subj.", "second_colour": "2nd col."}


def _pooled(report: dict[str, Any], part: str, start: str = "", has: str = "") -> dict[str, float]:
    """The share of the ceiling per attribute over all rows of a part whose names begin with `start` and contain `has`.

    The questions of the rows are counted together, so rows that ask an attribute once weigh less.
    """
    rows = [row["attributes"] for name, row in report.get(part, {}).items() if name.startswith(start) and has in name]
    shares = {}
    for name in ATTRIBUTES:
        cells = [row[name] for row in rows if name in row]
        asked = sum(cell["asked"] for cell in cells)
        if asked:
            shares[name] = sum(cell["share"] * cell["asked"] for cell in cells) / asked
    return shares


def _mean(shares: dict[str, float]) -> float | None:
    return sum(shares.values()) / len(shares) if shares else None


def _difference(a: dict[str, float], b: dict[str, float]) -> float | None:
    """By how much the mean of `a` is above that of `b`, over the attributes that both have been asked for."""
    return _mean({name: a[name] - b[name] for name in a.keys() & b.keys()})


def _spread(report: dict[str, Any]) -> tuple[float, float] | None:
    """The distance between the best and the worst aspect ratio over the mean, and the most that chance alone gives.

    The range of 15 equal normal variables is 3.47 standard errors on average, so a small sample shows a spread where
    there is none. All ratios have the same prompts, of which some are harder than others for all of them: the range is
    smaller than that of independent scores.
    """
    rows = [row for row in report.get("aspects", {}).values() if row["score"] is not None]
    scores = [row["score"] for row in rows]
    mean = sum(scores) / len(scores) if scores else 0.0
    if not mean:
        return None
    return (max(scores) - min(scores)) / mean, 3.47 * sum(row["error"] for row in rows) / len(rows) / mean


def _kept(report: dict[str, Any], world: str) -> float | None:
    """The share of steps of generated clips at which all rules of a world hold, where something happens."""
    return report.get("worlds", {}).get(world, {}).get("score", {}).get("generated")


def _roughest(report: dict[str, Any]) -> float | None:
    """How rough the roughest clip is of a prompt that no caption is like: noise is 1."""
    outside = report.get("outside")
    return None if outside is None else max(outside["prompts"].values()) / outside["noise"]


def _least(report: dict[str, Any], figure: str) -> float | None:
    """A figure of the worst captions: of either language, of clips or of stills."""
    return min((row[figure] for row in report.get("captions", {}).values()), default=None)


def fewest_steps(report: dict[str, Any], within: float = 0.02) -> int | None:
    """The smallest number of steps whose score is at most `within` below that of the most steps."""
    scores = {int(name.split()[0]): row["score"] for name, row in report.get("steps", {}).items()}
    if not scores or any(score is None for score in scores.values()):
        return None
    return min(steps for steps, score in scores.items() if score >= scores[max(scores)] - within)


def summary(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The promises on shipped weights that were measured: name, value, the bound wanted and whether it is met."""
    vae = report.get("vae", {})
    every, sentences = _pooled(report, "text"), _pooled(report, "paraphrases")
    languages = _difference(_pooled(report, "text", has=" en "), _pooled(report, "text", has=" zh "))
    styles = _difference(_pooled(report, "text", has="descriptive"), _pooled(report, "text", has="short"))
    spread = _spread(report)
    chance = "" if spread is None else f" (chance alone: at most about {spread[1]:.2f})"
    lines = [
        ("VAE PSNR, held-out clips, dB", vae.get("synthetic 128", {}).get("psnr"), ">=", 32.0),
        ("VAE SSIM, held-out clips", vae.get("synthetic 128", {}).get("ssim"), ">=", 0.94),
        ("VAE PSNR, real footage, dB", vae.get("real 256", {}).get("psnr"), ">=", 27.0),
        ("VAE flicker", vae.get("synthetic 128", {}).get("flicker"), "<=", 1.2),
        ("text, held-out seeds, share of ceiling", _mean(_pooled(report, "text", "seeds")), ">=", 0.90),
        ("text, held-out combinations, share of ceiling", _mean(_pooled(report, "text", "combinations")), ">=", 0.80),
        ("text, worst attribute, share of ceiling", min(every.values()) if every else None, ">=", 0.75),
        ("English minus Chinese", None if languages is None else abs(languages), "<=", 0.05),
        ("descriptive minus short", styles, ">=", 0.0),
        ("paraphrases, share of ceiling", _mean(sentences), ">=", 0.75),
        (f"spread over aspect ratios{chance}", None if spread is None else spread[0], "<=", 0.10),
        ("steps within 2 points of the most", fewest_steps(report), "<=", 8),
        ("marks that stay, share of steps", _kept(report, "painter"), ">=", 0.95),
        ("games played by their rules, share of steps", _kept(report, "arcade"), ">=", 0.90),
        ("prompts outside the worlds: roughest clip, share of noise", _roughest(report), "<=", 0.5),
        ("captions of rendered clips, recall", _least(report, "recall"), ">=", 0.95),
        ("captions of rendered clips, precision", _least(report, "precision"), ">=", 0.95),
        ("25 frames of 128x128, CPU seconds", report.get("speed", {}).get("cpu_seconds"), "<=", 8.0),
    ]
    return judged(lines)


def judged(lines: list[tuple[str, float | None, str, float]]) -> list[dict[str, Any]]:
    """Promises (name, value, ">=" or "<=", bound) that were measured, and whether each is met."""
    return [
        {"name": name, "value": float(f"{value:.4g}"), "wanted": f"{relation} {bound:g}",
         "met": bool(value >= bound - 1e-9 if relation == ">=" else value <= bound + 1e-9)}
        for name, value, relation, bound in lines if value is not None
    ]  # fmt: skip


def verdicts(promises: list[dict[str, Any]], indent: str = "") -> list[str]:
    """A line of text for each promise."""
    return [
        f"{indent}{'met   ' if line['met'] else 'MISSED'} {line['name']}: {line['value']:g} (wanted {line['wanted']})"
        for line in promises
    ]


def _row(name: str, row: dict[str, Any]) -> str:
    cells = []
    for attribute in ATTRIBUTES:
        figures = row["attributes"].get(attribute)
        if figures is None:
            cells.append("-")
        else:
            best = "?" if figures["ceiling"] is None else f"{figures['ceiling']:.2f}"
            cells.append(f"{figures['score']:.2f}/{best}")
    mean = "-" if row["score"] is None else f"{row['score']:.3f} ± {row['error']:.3f}"
    share = "-" if row["share"] is None else f"{row['share']:.3f}"
    return " ".join([f"{name:<28}", *(f"{cell:>10}" for cell in cells), f"{mean:>15}", f"{share:>7}"])


def _beside(parts: dict[str, Any]) -> list[str]:
    """Lines of figures of generated clips beside those of rendered ones and of clips that deserve nothing."""
    lines = []
    for part, figures in parts.items():
        for name, kinds in figures.items():
            if isinstance(kinds, dict) and "generated" in kinds:
                said = {kind: "-" if value is None else f"{value:.3f}" for kind, value in kinds.items()}
                others = ", ".join(f"{kind} {value}" for kind, value in said.items() if kind != "generated")
                lines.append(f"{part}, {name}: {said['generated']} ({others})")
    return lines


def table(report: dict[str, Any]) -> str:
    """The report as text: scores over ceilings per attribute, then the promises."""
    heads = [f"{_SHORT.get(name, name):>10}" for name in ATTRIBUTES]
    lines = [" ".join([f"{'score / ceiling':<28}", *heads, f"{'mean':>15}", f"{'share':>7}"])]
    for part in ("text", "paraphrases", "aspects", "sizes", "durations", "steps"):
        rows = report.get(part, {})
        lines += [_row(f"{part} {name}" if part == "paraphrases" else name, row) for name, row in rows.items()]
    if every := _pooled(report, "text"):
        cells = [f"{every[name]:>10.2f}" if name in every else f"{'-':>10}" for name in ATTRIBUTES]
        lines.append(" ".join([f"{'all text, share of ceiling':<28}", *cells, " " * 15, f"{_mean(every):>7.3f}"]))
    if "vae" in report:
        lines.append(_row("after compression", report["vae"]["judged"]))
        for name, figures in report["vae"].items():
            if name != "judged" and figures["clips"]:
                psnr, ssim, flicker = (figures[key] for key in ("psnr", "ssim", "flicker"))
                lines.append(
                    f"VAE, {name}: {psnr:.2f} dB, SSIM {ssim:.4f}, flicker {flicker:.2f}, {figures['clips']} clips"
                )
    for where, losses in report.get("loss", {}).items():
        lines.append(f"denoising loss, {where}: " + ", ".join(f"{name} {value:.4f}" for name, value in losses.items()))
    lines += _beside(report.get("worlds", {}))
    lines += _beside({part: report[part] for part in ("objects", "pairs", "variety", "geometry") if part in report})
    for name, row in report.get("captions", {}).items():
        lines.append(f"captions, {name}: recall {row['recall']:.3f}, precision {row['precision']:.3f}")
    if "first_seconds" in report.get("speed", {}):
        lines.append(f"first frames of 64x64, with loading: {report['speed']['first_seconds']:g} s")
    if "outside" in report:
        rough, real, noise = (report["outside"][key] for key in ("prompts", "rendered", "noise"))
        lines.append(f"roughness outside the vocabulary: {max(rough.values()):.3f} (rendered {real[0]:.3f} to"
                     f" {real[1]:.3f}, noise {noise:.3f})")  # fmt: skip
    lines += ["", f"clips per score: {report['clips']}"] if "clips" in report else [""]
    lines += verdicts(report["summary"])
    return "\n".join(lines)
