"""The judge: a small network that reads from pixels what a clip shows, to compare with what was asked for."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.worlds.attributes import ATTRIBUTES
from ..tensor_files import fits, read_tensors, save_tensors

BUNDLED = Path(__file__).parents[1] / "weights" / "judge.safetensors"
"""The judge that comes with the package."""
SIDE = 64
"""Pixels of the shorter side of what the judge sees."""
SPACING = 0.25
"""Seconds between the frames that the judge sees, as nearly as the clip's frame rate allows."""
MOST_FRAMES = 25
"""Frames that are read at once; longer clips are read in windows and the answers averaged."""
MOVING = ("motion", "camera")
"""Attributes that a single frame does not show."""


def shift_in_time(x: Tensor, reach: int = 1) -> Tensor:
    """Give a quarter of the channels to `reach` frames later and a quarter to as many frames earlier, `b t c h w`.

    Beyond the ends the first and the last frame go on, so a still clip of any length looks like one frame.
    (Lin et al., TSM, 2019)
    """
    if x.shape[1] == 1:
        return x
    part, at, last = x.shape[2] // 4, torch.arange(x.shape[1], device=x.device), x.shape[1] - 1
    later = x[:, (at - reach).clamp(min=0), :part]
    earlier = x[:, (at + reach).clamp(max=last), part : 2 * part]
    return torch.cat([later, earlier, x[:, :, 2 * part :]], 2)


class Block(nn.Module):
    """A residual 3x3 convolution of every frame after its channels have been exchanged with its neighbours."""

    def __init__(self, channels: int, reach: int):
        super().__init__()
        self.reach = reach
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """`b*t c h w` -> the same."""
        mixed = shift_in_time(F.relu(x).unflatten(0, (-1, frames)), self.reach).flatten(0, 1)
        return x + self.conv(mixed.contiguous(memory_format=torch.channels_last))


class Judge(nn.Module):
    """Clips of any length and aspect, 64 pixels on the shorter side, to one set of logits per attribute."""

    def __init__(self, fine: int = 48, coarse: int = 96):
        super().__init__()
        self.entry = nn.Conv2d(11, fine, 7, stride=4, padding=3)
        self.fine = nn.ModuleList([Block(fine, 1)])
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        # A slow zoom shows only between frames that are far apart.
        self.coarse = nn.ModuleList(Block(coarse, reach) for reach in (1, 2, 4, 1))
        self.where_embed = nn.Conv2d(coarse, len(ATTRIBUTES), 1)
        self.heads = nn.ModuleList(nn.Linear(2 * coarse, len(values)) for values in ATTRIBUTES.values())

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights; residual branches start small because nothing normalises the trunk."""
        for name, parameter in self.named_parameters():
            gain = 0.3 if "fine." in name or "coarse." in name else 0.1 if "where" in name else 1.0
            fan = parameter[0].numel() if parameter.ndim > 1 else 1
            with torch.no_grad():
                noise = torch.randn(parameter.shape, generator=generator) * (gain * (2 / fan) ** 0.5)
                parameter.copy_(noise if parameter.ndim > 1 else torch.zeros_like(parameter))

    def forward(self, video: Tensor) -> list[Tensor]:
        """`b 3 t h w` in [0, 1] -> logits `b values` in the order of `ATTRIBUTES`."""
        summary = self.features(video)
        return [head(summary[:, i]) for i, head in enumerate(self.heads)]

    def features(self, video: Tensor) -> Tensor:
        """What was seen where each attribute shows, `b attributes 2*coarse`, of `b 3 t h w` in [0, 1]."""
        frames = video.shape[2]
        step = torch.cat([torch.zeros_like(video[:, :, :1]), video.diff(dim=2)], 2)
        way = video - video[:, :, :1]
        x = torch.cat([video.mul(2).sub(1), 4 * step, coordinates(video), 2 * way], 1).transpose(1, 2).flatten(0, 1)
        x = self.entry(x.contiguous(memory_format=torch.channels_last))
        for block in self.fine:
            x = block(x, frames)
        x = self.down(F.relu(x))
        for block in self.coarse:
            x = block(x, frames)
        x = F.relu(F.rms_norm(x.permute(0, 2, 3, 1), x.shape[1:2]))  # b*t h w c
        where = self.where_embed(x.permute(0, 3, 1, 2)).flatten(2).float().softmax(-1)  # b*t attributes h*w
        seen = (where @ x.flatten(1, 2).to(where.dtype)).unflatten(0, (-1, frames))  # b t attributes c
        return torch.cat([seen.mean(1), seen.amax(1)], -1)


def coordinates(video: Tensor) -> Tensor:
    """Each pixel's place right and down of the middle in half shorter sides, `b 2 t h w`."""
    b, _, t, h, w = video.shape
    half = min(h, w) / 2
    y = (torch.arange(h, device=video.device) + 0.5 - h / 2) / half
    x = (torch.arange(w, device=video.device) + 0.5 - w / 2) / half
    grid = torch.stack([x.expand(h, w), y[:, None].expand(h, w)]).to(video.dtype)
    return grid[None, :, None].expand(b, 2, t, h, w)


def stride_at(fps: float) -> int:
    """Every how many frames the judge looks at a clip of this frame rate."""
    return max(1, round(fps * SPACING))


def resized(video: Tensor) -> Tensor:
    """`b 3 t h w` with 64 pixels on the shorter side and a multiple of 8, at most 160, on the longer one."""
    b, _, t, h, w = video.shape
    scale = SIDE / min(h, w)
    size = tuple(SIDE if side == min(h, w) else min(160, round(side * scale / 8) * 8) for side in (h, w))
    if size == (h, w):
        return video
    flat = video.transpose(1, 2).flatten(0, 1)
    flat = F.interpolate(flat, size=size, mode="bilinear", antialias=True, align_corners=False)
    return flat.unflatten(0, (b, t)).transpose(1, 2)


def windows(video: Tensor, fps: float) -> tuple[Tensor, ...]:
    """What the judge looks at of clips `b 3 t h w` at `fps`: enough of the frames, resized, in equal parts if long."""
    video = resized(video[:, :, :: stride_at(fps)].float())
    parts = video.split(MOST_FRAMES, dim=2)
    if len(parts) > 1 and parts[-1].shape[2] < MOST_FRAMES:
        parts = (*parts[:-1], video[:, :, -MOST_FRAMES:])
    return parts


@torch.inference_mode()
def probabilities(judge: Judge, video: Tensor, fps: float) -> list[Tensor]:
    """What the judge holds likely in clips `b 3 t h w` in [0, 1] at `fps`: `b values` per attribute, summing to 1."""
    device = judge.entry.weight.device
    each = [[x.float().softmax(-1).cpu() for x in judge(window.to(device))] for window in windows(video, fps)]
    return [torch.stack(parts).mean(0) for parts in zip(*each, strict=True)]


def answers(judge: Judge, video: Tensor, fps: float) -> list[dict[str, str]]:
    """The judge's most likely value of every attribute, one dict per clip of `b 3 t h w`; stills have no motion."""
    best = torch.stack([p.argmax(-1) for p in probabilities(judge, video, fps)], 1).tolist()
    judged = [name for name in ATTRIBUTES if video.shape[2] > 1 or name not in MOVING]
    sheets = [{name: ATTRIBUTES[name][i] for name, i in zip(ATTRIBUTES, row, strict=True)} for row in best]
    return [{name: sheet[name] for name in judged} for sheet in sheets]


def save_judge(path: Path, weights: dict[str, Tensor], about: str = "{}") -> None:
    """Write a judge's weights in half precision; `about` is JSON on how it was trained."""
    save_tensors({name: value.half() for name, value in weights.items()}, path, {"judge": about})


def load_judge(path: Path = BUNDLED) -> Judge:
    """A trained judge. Raises FileNotFoundError, or ValueError when the file is damaged or holds something else."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no judge {path}; train one with: sora train judge")
    weights, _ = read_tensors(path)
    with torch.device("meta"):
        judge = Judge()
    if not fits(weights, judge):
        raise ValueError(f"{path.name} holds no judge of this version; train one with: sora train judge")
    judge.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return judge.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
