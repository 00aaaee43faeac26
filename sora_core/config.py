"""Every number that shapes a network, as frozen dataclasses that travel as JSON inside the checkpoint."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .shapes import Compression

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """The video compression network: a fixed wavelet, a fine level, and a trunk at half the fine level's rates."""

    channels: int = 16
    """Latent channels."""
    wavelet: tuple[int, int, int] = (2, 4, 4)
    """Pixels along `t h w` that the Haar front folds into channels; powers of two. The cell is twice as long."""
    encoder_width: tuple[int, int] = (80, 128)
    """Channels of the encoder at the fine level and in the trunk."""
    decoder_width: tuple[int, int] = (112, 160)
    """Channels of the decoder at the fine level and in the trunk."""
    encoder_depth: tuple[int, int] = (2, 2)
    """Residual blocks at the fine level and in the trunk; (0, 0) leaves a linear encoder, the principal components."""
    decoder_depth: tuple[int, int] = (3, 3)

    def __post_init__(self) -> None:
        if any(size < 1 or size & (size - 1) for size in self.wavelet):
            raise ValueError(f"wavelet is {self.wavelet}; each size must be a power of two")
        if self.wavelet[1] != self.wavelet[2]:
            raise ValueError(f"wavelet is {self.wavelet}; height and width must be equal")
        # The transform's matrix is the square of the block's volume.
        if math.prod(self.wavelet) > 4096:
            raise ValueError(f"wavelet is {self.wavelet}; a block may hold at most 4,096 pixels")

    @property
    def compression(self) -> Compression:
        """Frames and pixels per latent cell."""
        return Compression(time=2 * self.wavelet[0], space=2 * self.wavelet[1])


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The bundled text encoder: hashed character n-grams, then a small transformer over words."""

    max_tokens: int = 64
    buckets: int = 16384
    ngrams: int = 12
    embedding: int = 96
    width: int = 192
    depth: int = 2
    heads: int = 3

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"the text width {self.width} is not divisible by {self.heads} heads")
        # All of a prompt's are looked up at once, and no weight in the file is as large as their number.
        if self.max_tokens * self.ngrams > 65_536:
            raise ValueError(
                f"a prompt of {self.max_tokens} tokens of {self.ngrams} ngrams has too many features; at most 65,536"
            )


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The diffusion transformer."""

    channels: int = 16
    """Latent channels."""
    patch: tuple[int, int, int] = (1, 2, 2)
    width: int = 256
    depth: int = 10
    heads: int = 4
    hidden: int = 704
    """Width of the gated feed-forward layer."""
    text_width: int = 192
    """Width of the token states that condition it."""
    text_tokens: int = 8
    """Tokens that the refiner resamples a prompt of any length to."""
    refiner_depth: int = 2
    lowest_sigma: float = 0.05
    """The noise level, above 0 and below 1, from which sampling takes the clean prediction as it is: a small model
    knows no more of what is decided below than how it looks on average, and would make it up patch by patch."""
    guided_above: float = 0.0
    """The noise level, below 1, down to which guidance helps a sampling from noise. What a small model has left of
    things that it decided against, guidance makes visible below: a second toy on the wrong side, too."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        if self.width // self.heads not in (64, 128):
            raise ValueError(
                f"width {self.width} with {self.heads} heads gives {self.width // self.heads} dims a head;"
                " it must be 64 or 128"
            )
        if not 0 < self.lowest_sigma < 1:
            raise ValueError(f"lowest_sigma is {self.lowest_sigma}; it must be above 0 and below 1")
        if not 0 <= self.guided_above < 1:
            raise ValueError(f"guided_above is {self.guided_above}; it must be at least 0 and below 1")

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def patch_dim(self) -> int:
        """Numbers in one patch."""
        return self.channels * self.patch[0] * self.patch[1] * self.patch[2]


@dataclass(frozen=True, kw_only=True)
class SoraConfig:
    """One model: compression network, text encoder and transformer that belong together."""

    name: str = "mini"
    vae: VAEConfig = field(default_factory=VAEConfig)
    text: TextConfig = field(default_factory=TextConfig)
    dit: DiTConfig = field(default_factory=DiTConfig)

    def __post_init__(self) -> None:
        if self.vae.channels != self.dit.channels:
            raise ValueError(f"the VAE has {self.vae.channels} latent channels but the transformer {self.dit.channels}")
        if self.text.width != self.dit.text_width:
            raise ValueError(
                f"the text encoder is {self.text.width} numbers wide but the transformer reads {self.dit.text_width}"
            )


# Many channels and a linear encoder: at the sizes a small model works at, a cell holds whole edges, which principal
# components keep for their price in channels alone, and a transformer that predicts clean patches does not mind their
# number. A deeper encoder gained at most 0.2 dB for each CPU-minute of training; latents that cost no network to
# encode let all those minutes go to the transformer.
_VAE_MINI = VAEConfig(channels=128, encoder_depth=(0, 0), decoder_depth=(3, 2))
_VAE_BASE = VAEConfig(
    channels=32, wavelet=(2, 8, 8), encoder_width=(128, 384), decoder_width=(192, 512),
    encoder_depth=(3, 4), decoder_depth=(4, 6),
)  # fmt: skip
_VAE_HD = VAEConfig(
    channels=128, wavelet=(4, 16, 16), encoder_width=(512, 1024), decoder_width=(768, 1280),
    encoder_depth=(3, 4), decoder_depth=(4, 8),
)  # fmt: skip


_TEXT_MINI = TextConfig()
_TEXT_BASE = TextConfig(max_tokens=256, buckets=1 << 16, embedding=512, width=1024, depth=12, heads=16)


def _scaled(name: str, vae: VAEConfig, width: int, depth: int, heads: int, text: TextConfig = _TEXT_MINI) -> SoraConfig:
    hidden = -(-width * 8 // 3 // 64) * 64
    dit = DiTConfig(
        channels=vae.channels, width=width, depth=depth, heads=heads, hidden=hidden, text_width=text.width,
        text_tokens=8 if width <= 256 else 256, lowest_sigma=0.5 if width <= 256 else 0.05,
        guided_above=0.7 if width <= 256 else 0.0,
    )  # fmt: skip
    return SoraConfig(name=name, vae=vae, text=text, dit=dit)


def preset(name: str) -> SoraConfig:
    """The configuration of a family member: nano, mini, S, B, L, XL or XXL. Raises ValueError for other names."""
    members = {
        "nano": lambda: SoraConfig(
            name="nano",
            vae=VAEConfig(encoder_width=(16, 32), decoder_width=(16, 32), encoder_depth=(1, 1), decoder_depth=(1, 1)),
            text=TextConfig(buckets=1024, embedding=32, width=64, heads=1),
            dit=DiTConfig(width=128, depth=6, heads=2, hidden=384, text_width=64),
        ),
        "mini": lambda: _scaled("mini", _VAE_MINI, 256, 10, 4),
        "S": lambda: _scaled("S", _VAE_MINI, 768, 16, 12),
        "B": lambda: _scaled("B", _VAE_BASE, 1536, 28, 12, _TEXT_BASE),
        "L": lambda: _scaled("L", _VAE_BASE, 2048, 32, 16, _TEXT_BASE),
        "XL": lambda: _scaled("XL", _VAE_HD, 3072, 36, 24, _TEXT_BASE),
        "XXL": lambda: _scaled("XXL", _VAE_HD, 4096, 48, 32, _TEXT_BASE),
    }
    if name not in members:
        raise ValueError(f"there is no preset {name!r}; the family is {', '.join(members)}")
    return members[name]()


PARAMETERS: dict[str, tuple[int, int]] = {
    "nano": (1_801_920, 172_416),
    "mini": (10_262_016, 4_191_136),
    "S": (131_173_120, 4_191_136),
    "B": (861_818_496, 87_987_808),
    "L": (1_740_535_936, 87_987_808),
    "XL": (4_349_676_032, 795_521_152),
    "XXL": (10_157_744_640, 795_521_152),
}
"""Parameters of the transformer and of the compression network of each family member."""
PRESETS = tuple(PARAMETERS)


def to_json(config: Any) -> str:
    """A configuration dataclass as JSON, keys sorted so that equal configurations are equal text."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def from_json(cls: type[T], text: str | bytes) -> T:
    """Rebuild a configuration of class `cls`. Raises ValueError naming unknown keys or a value of the wrong kind."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the {cls.__name__} in the file is not JSON: {error}") from None
    return _build(cls, values)


_NESTED: dict[str, type] = {"vae": VAEConfig, "text": TextConfig, "dit": DiTConfig}


def _build(cls: type[T], values: Any) -> T:
    if not isinstance(values, dict):
        raise ValueError(f"{cls.__name__} must be an object of named values, not {type(values).__name__}")
    defaults = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(values.keys() - defaults.keys())
    if unknown:
        raise ValueError(f"{cls.__name__} has no {', '.join(unknown)}: the file is newer than this code or not ours")
    example = cls()
    built: dict[str, Any] = {}
    for name, value in values.items():
        expected = getattr(example, name)
        if name in _NESTED and cls is SoraConfig:
            built[name] = _build(_NESTED[name], value)
        elif isinstance(expected, tuple):
            if not isinstance(value, list) or len(value) != len(expected) or not all(type(v) is int for v in value):
                raise ValueError(f"{cls.__name__}.{name} is {value!r}; it must be {len(expected)} whole numbers")
            for number in value:
                _check_range(f"{cls.__name__}.{name}", number)
            built[name] = tuple(value)
        elif type(value) is not type(expected) and (type(value), type(expected)) != (int, float):
            raise ValueError(f"{cls.__name__}.{name} is {value!r}; it must be {type(expected).__name__}")
        else:
            if isinstance(expected, int):
                _check_range(f"{cls.__name__}.{name}", value)
            built[name] = value
    return cls(**built)


def _check_range(name: str, value: int) -> None:
    # Building a network takes time for every layer, so a hostile file could keep a server busy with its depth alone.
    most = 1000 if name.endswith("depth") else 1_000_000
    least = 0 if name == "VAEConfig.encoder_depth" else 1
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must be between {least} and {most:,}")
