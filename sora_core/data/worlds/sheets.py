"""Answer sheets of the flat worlds: named values out of closed lists, which labels and captions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One value for each entry of `VALUES`, which a world's own sheet defines."""

    VALUES: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __post_init__(self) -> None:
        for name, values in self.VALUES.items():
            value = getattr(self, name)
            if value not in values:
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(values)}")

    def indices(self) -> tuple[int, ...]:
        """The position of each value within `VALUES`, in that order: integer labels for training."""
        return tuple(values.index(getattr(self, name)) for name, values in self.VALUES.items())

    @classmethod
    def from_indices(cls, indices: tuple[int, ...]) -> Self:
        """The inverse of `indices`."""
        return cls(**{name: values[i] for (name, values), i in zip(cls.VALUES.items(), indices, strict=True)})
