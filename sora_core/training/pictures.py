"""Contact sheets: rows of frames as one PNG, the first thing to look at before believing a loss curve."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor


def contact_sheet(videos: list[Tensor], path: Path, columns: int = 5) -> None:
    """Write videos `3 t h w` in [0, 1] as rows of up to `columns` evenly spaced frames each."""
    from PIL import Image

    rows = []
    for video in videos:
        picks = torch.linspace(0, video.shape[1] - 1, min(columns, video.shape[1])).round().long()
        rows.append(torch.cat([video[:, i] for i in picks.tolist()], dim=2))
    width = max(row.shape[2] for row in rows)
    rows = [torch.nn.functional.pad(row, (0, width - row.shape[2])) for row in rows]
    sheet = torch.cat(rows, dim=1).clamp(0, 1).mul(255).round().byte().cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy()).save(path)
