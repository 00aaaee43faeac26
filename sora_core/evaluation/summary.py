"""The report in few lines: the promises with what was measured, and a table of every score beside its ceiling."""

from __future__ import annotations

from typing import Any

from ..data.worlds.attributes import ATTRIBUTES

_SHORT = {"environment": "environm.", "second_subject": "2nd subj.", "second_colour": "2nd col."}


def _mean(report: dict[str, Any], part: str, start: str = "", key: str = "share", has: str = "") -> float | None:
    """The mean of a figure over the rows of a part whose names begin with `start` and contain `has`."""
    rows = [row for name, row in report.get(part, {}).items() if name.startswith(start) and has in name]
    values = [row[key] for row in rows if row.get(key) is not None]
    return sum(values) / len(values) if values else None


def _worst(report: dict[str, Any]) -> float | None:
    """The lowest share of any attribute over all described prompts, its questions counted together."""
    shares = {}
    for name in ATTRIBUTES:
        rows = [r["attributes"][name] for r in report.get("text", {}).values() if name in r["attributes"]]
        asked = sum(row["asked"] for row in rows)
        if asked:
            shares[name] = sum(row["share"] * row["asked"] for row in rows) / asked
    return min(shares.values()) if shares else None


def _spread(report: dict[str, Any]) -> float | None:
    """The distance between the best and the worst aspect ratio, as a share of the mean."""
    scores = [row["score"] for row in report.get("aspects", {}).values() if row["score"] is not None]
    mean = sum(scores) / len(scores) if scores else 0.0
    return (max(scores) - min(scores)) / mean if mean else None


def fewest_steps(report: dict[str, Any], within: float = 0.02) -> int | None:
    """The smallest number of steps whose score is at most `within` below that of the most steps."""
    scores = {int(name.split()[0]): row["score"] for name, row in report.get("steps", {}).items()}
    if not scores or any(score is None for score in scores.values()):
        return None
    return min(steps for steps, score in scores.items() if score >= scores[max(scores)] - within)


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def summary(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The promises on shipped weights that were measured: name, value, the bound wanted and whether it is met."""
    vae, text = report.get("vae", {}), "text"
    languages = _difference(_mean(report, text, has=" en "), _mean(report, text, has=" zh "))
    styles = _difference(_mean(report, text, has="descriptive"), _mean(report, text, has="short"))
    lines = [
        ("VAE PSNR, held-out clips, dB", vae.get("synthetic 128", {}).get("psnr"), ">=", 32.0),
        ("VAE SSIM, held-out clips", vae.get("synthetic 128", {}).get("ssim"), ">=", 0.94),
        ("VAE PSNR, real footage, dB", vae.get("real 256", {}).get("psnr"), ">=", 27.0),
        ("VAE flicker", vae.get("synthetic 128", {}).get("flicker"), "<=", 1.2),
        ("text, held-out seeds, share of ceiling", _mean(report, text, "seeds"), ">=", 0.90),
        ("text, held-out combinations, share of ceiling", _mean(report, text, "combinations"), ">=", 0.80),
        ("text, worst attribute, share of ceiling", _worst(report), ">=", 0.75),
        ("English minus Chinese", None if languages is None else abs(languages), "<=", 0.05),
        ("descriptive minus short", styles, ">=", 0.0),
        ("paraphrases, share of ceiling", _mean(report, "paraphrases"), ">=", 0.75),
        ("spread over aspect ratios", _spread(report), "<=", 0.10),
        ("steps within 2 points of the most", fewest_steps(report), "<=", 8),
        ("25 frames of 128x128, CPU seconds", report.get("speed", {}).get("cpu_seconds"), "<=", 8.0),
    ]
    return [
        {"name": name, "value": round(value, 4), "wanted": f"{relation} {bound:g}",
         "met": bool(value >= bound - 1e-9 if relation == ">=" else value <= bound + 1e-9)}
        for name, value, relation, bound in lines if value is not None
    ]  # fmt: skip


def _row(name: str, row: dict[str, Any]) -> str:
    cells = []
    for attribute in ATTRIBUTES:
        figures = row["attributes"].get(attribute)
        cells.append(f"{figures['score']:.2f}/{figures['ceiling']:.2f}" if figures else "-")
    mean = "-" if row["score"] is None else f"{row['score']:.3f} ± {row['error']:.3f}"
    share = "-" if row["share"] is None else f"{row['share']:.3f}"
    return " ".join([f"{name:<24}", *(f"{cell:>10}" for cell in cells), f"{mean:>15}", f"{share:>7}"])


def table(report: dict[str, Any]) -> str:
    """The report as text: scores over ceilings per attribute, then the promises."""
    heads = [f"{_SHORT.get(name, name):>10}" for name in ATTRIBUTES]
    lines = [" ".join([f"{'score / ceiling':<24}", *heads, f"{'mean':>15}", f"{'share':>7}"])]
    for part in ("text", "paraphrases", "aspects", "durations", "steps"):
        rows = report.get(part, {})
        lines += [_row(f"{part} {name}" if part == "paraphrases" else name, row) for name, row in rows.items()]
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
    if "outside" in report:
        rough, real, noise = (report["outside"][key] for key in ("prompts", "rendered", "noise"))
        lines.append(f"roughness outside the vocabulary: {max(rough.values()):.3f} (rendered {real[0]:.3f} to"
                     f" {real[1]:.3f}, noise {noise:.3f})")  # fmt: skip
    lines.append("")
    for line in report["summary"]:
        lines.append(
            f"{'met   ' if line['met'] else 'MISSED'} {line['name']}: {line['value']:g} (wanted {line['wanted']})"
        )
    return "\n".join(lines)
