"""What can be said about a procedural clip: the closed vocabulary that scenes, captions and judges share."""

from __future__ import annotations

from dataclasses import dataclass, replace

SUBJECTS = ("ball", "cube", "cone", "donut", "car", "house", "rocket", "duck", "snowman", "mushroom")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
ENVIRONMENTS = ("meadow", "desert", "snow", "sea", "studio", "neon_city", "mars")
TIMES = ("day", "sunset", "night")
MOTIONS = ("still", "left", "right", "bounce", "rise", "spin", "circle", "roll")
CAMERAS = ("static", "push_in", "pull_out", "pan_left", "pan_right", "orbit")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "subject": SUBJECTS,
    "colour": COLOURS,
    "environment": ENVIRONMENTS,
    "time": TIMES,
    "motion": MOTIONS,
    "camera": CAMERAS,
    "second_subject": ("none", *SUBJECTS),
    "second_colour": ("none", *COLOURS),
    "occluder": ("none", "wall"),
}
"""Every attribute of a sandbox clip that judges tell, with its values, in the order they print them."""
SIDES = ("none", "left", "right")
"""Where the second subject stands, seen from the first."""

SHEET: dict[str, tuple[str, ...]] = {**ATTRIBUTES, "second_side": SIDES}
"""Everything that captions say of a sandbox clip, with its values."""
_MIRRORED = {"left": "right", "right": "left", "pan_left": "pan_right", "pan_right": "pan_left"}


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """The answer sheet of one clip: one value per entry of `SHEET`.

    Without `second_side` a second subject is on either side, and captions do not say on which.
    """

    subject: str
    colour: str
    environment: str
    time: str
    motion: str
    camera: str
    second_subject: str = "none"
    second_colour: str = "none"
    occluder: str = "none"
    second_side: str = "none"

    def __post_init__(self) -> None:
        for name, values in SHEET.items():
            value = getattr(self, name)
            if value not in values:
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(values)}")
        if (self.second_subject == "none") != (self.second_colour == "none"):
            raise ValueError(
                f"second_subject is {self.second_subject!r} and second_colour is {self.second_colour!r};"
                " give both or neither"
            )
        if self.second_subject == "none" != self.second_side:
            raise ValueError(f"second_side is {self.second_side!r}, but there is no second_subject; name one")

    def mirrored(self) -> Attributes:
        """The attributes of the same clip seen in a mirror: left and right change places."""
        return replace(
            self,
            motion=_MIRRORED.get(self.motion, self.motion),
            camera=_MIRRORED.get(self.camera, self.camera),
            second_side=_MIRRORED.get(self.second_side, self.second_side),
        )

    def indices(self) -> tuple[int, ...]:
        """The position of each value within `SHEET`, in that order: integer labels for training."""
        return tuple(values.index(getattr(self, name)) for name, values in SHEET.items())

    @classmethod
    def from_indices(cls, indices: tuple[int, ...]) -> Attributes:
        """The inverse of `indices`; those of earlier shards end before the side."""
        return cls(**{name: values[i] for (name, values), i in zip(SHEET.items(), indices, strict=False)})
