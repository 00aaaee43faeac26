"""Procedural worlds: short clips of toys in landscapes, drawn from words, with everything about them known."""

from __future__ import annotations

from sora_core.data.worlds.attributes import ATTRIBUTES, Attributes
from sora_core.data.worlds.render import Clip, Truth, render, render_images
from sora_core.data.worlds.sampling import sample_scene
from sora_core.data.worlds.scene import HELD_OUT, Scene, sample_attributes

__all__ = [
    "ATTRIBUTES",
    "HELD_OUT",
    "Attributes",
    "Clip",
    "Scene",
    "Truth",
    "render",
    "render_images",
    "sample_attributes",
    "sample_scene",
]
