"""Drawing synthetic scenes: objects that lie about on a textured ground, among clutter, and hide one another."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from isp_gym.data.synthetic.shapes import SHAPES, Grid, Mask, Shape, pebble, rod
from isp_gym.data.synthetic.textures import Texture

CLASSES = tuple(SHAPES)
_LAYOUT = 96  # the side in pixels at which it is decided where things lie
_MIN_VISIBLE = 0.4


@dataclass(frozen=True)
class Thing:
    """Something in a scene; lengths in parts of the image's side.

    Attributes:
        shape: Which points belong to it.
        variant: Of the shape, in [0, 1].
        centre: x and y.
        radius: Of the circle that it fits into.
        angle: By which it is turned, radians.
        texture: Its surface.
        label: Index into ``CLASSES``; -1 for clutter.
    """

    shape: Shape
    variant: float
    centre: tuple[float, float]
    radius: float
    angle: float
    texture: Texture
    label: int = -1

    def local(self, x: Grid, y: Grid) -> tuple[Grid, Grid]:
        """Return coordinates in which it has radius 1 and is not turned."""
        cos, sin = np.float32(np.cos(self.angle) / self.radius), np.float32(np.sin(self.angle) / self.radius)
        x, y = x - np.float32(self.centre[0]), y - np.float32(self.centre[1])
        return x * cos + y * sin, y * cos - x * sin

    def window(self, side: int) -> tuple[slice, slice]:
        """Return rows and columns of an image of that side that it and its shadow can touch."""

        def span(centre: float) -> slice:
            reach = 1.3 * self.radius
            return slice(max(0, int((centre - reach) * side)), max(1, min(side, int((centre + reach) * side) + 1)))

        return span(self.centre[1]), span(self.centre[0])


@dataclass(frozen=True)
class Layout:
    """What a scene consists of, from back to front, and the light that falls on it (x, y, strength)."""

    ground: Texture
    things: tuple[Thing, ...]
    light: tuple[float, float, float]


def draw_layout(rng: np.random.Generator) -> Layout:
    """Sample a scene: 3 to 7 objects, at least 40 % of each in sight, and clutter behind and before them."""
    ground = Texture.draw(rng, (0.0, 0.5), (2.0, 20.0))
    behind = [_clutter(rng, 0.12) for _ in range(rng.integers(3, 9))]
    before = [_clutter(rng, 0.12) for _ in range(rng.integers(0, 3))]
    objects = _place(rng, int(rng.integers(3, 8)), before)
    direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4)
    light = (float(np.cos(direction)), float(np.sin(direction)), float(strength))
    return Layout(ground, (*behind, *objects, *before), light)


def _place(rng: np.random.Generator, count: int, before: list[Thing]) -> list[Thing]:
    objects: list[Thing] = []
    for _ in range(4 * count):
        tried = [*objects, _object(rng)]
        if _visible([*tried, *before])[: len(tried)].min() >= _MIN_VISIBLE:
            objects = tried
        if len(objects) == count:
            break
    return objects


def _object(rng: np.random.Generator) -> Thing:
    label = int(rng.integers(len(CLASSES)))
    radius = float(np.exp(rng.uniform(np.log(0.08), np.log(0.22))))
    x, y = (float(c) for c in rng.uniform(0.6 * radius, 1 - 0.6 * radius, 2))
    texture = Texture.draw(rng, (0.2, 0.95), (1.0, 6.0))
    angle = float(rng.uniform(0, 2 * np.pi))
    return Thing(SHAPES[CLASSES[label]], float(rng.random()), (x, y), radius, angle, texture, label)


def _clutter(rng: np.random.Generator, length: float) -> Thing:
    shape, size = (rod, 2 * length) if rng.random() < 0.4 else (pebble, 0.3 * length)
    x, y = (float(c) for c in rng.random(2))
    texture = Texture.draw(rng, (0.0, 0.8), (1.0, 6.0))
    radius, angle = float(size * rng.uniform(0.5, 1.0)), float(rng.uniform(0, np.pi))
    return Thing(shape, float(rng.random()), (x, y), radius, angle, texture)


def _visible(things: list[Thing]) -> npt.NDArray[np.float64]:
    """Return the part of each thing that the others, and the border of the image, leave to be seen."""
    owner = _owners(things, _LAYOUT)
    whole = np.array([_area(thing) for thing in things])
    seen = np.array([(owner == i).sum() for i in range(len(things))]) / _LAYOUT**2
    return seen / whole


def _area(thing: Thing) -> float:
    """Return area without a border, in parts of the image's."""
    x, y = _grid(_LAYOUT)
    inside = thing.shape(2 * x - 1, 2 * y - 1, thing.variant)
    return max(float(inside.mean()), 1e-6) * (2 * thing.radius) ** 2


def _owners(things: list[Thing], side: int) -> npt.NDArray[np.int64]:
    """Return which thing is to be seen at each pixel, (side, side); -1 for the ground."""
    owner = np.full((side, side), -1)
    for i, thing in enumerate(things):
        window = thing.window(side)
        owner[window][thing.shape(*thing.local(*_grid(side, window)), thing.variant)] = i
    return owner


def render(layout: Layout, side: int) -> tuple[npt.NDArray[np.float32], list[tuple[int, Mask]]]:
    """Draw a scene, well lit.

    Args:
        layout: What is in it.
        side: S, of the square image, in pixels. The scene is the same at any size.

    Returns:
        sRGB in [0, 1], (S, S, 3); and of each object its label and what is to be seen of it, (N, N) bool,
        N a multiple of S.
    """
    canvas_side = side * max(2, -(-256 // side))
    x, y = _grid(canvas_side)
    canvas = layout.ground.paint(x * 4, y * 4) / 1.1
    owner = np.full((canvas_side, canvas_side), -1)
    for i, thing in enumerate(layout.things):
        window, inside = _draw(canvas, thing, layout.light)
        owner[window][inside] = i
    light_x, light_y, strength = layout.light
    canvas *= (1 + strength * ((x - 0.5) * light_x + (y - 0.5) * light_y))[..., None]
    objects = [(thing.label, owner == i) for i, thing in enumerate(layout.things) if thing.label >= 0]
    image = cv2.resize(np.clip(canvas, 0, 1), (side, side), interpolation=cv2.INTER_AREA)
    return np.clip(image, 0, 1), objects


def _draw(canvas: Grid, thing: Thing, light: tuple[float, float, float]) -> tuple[tuple[slice, slice], Mask]:
    """Paint a thing and its shadow over what is there; returns a window, and where in it the thing is."""
    side, (light_x, light_y, strength) = len(canvas), light
    window = thing.window(side)
    part, (x, y) = canvas[window], _grid(side, window)
    u, v = thing.local(x, y)
    inside = thing.shape(u, v, thing.variant)
    # The shadow falls away from the light, soft at its border.
    away = 0.12 * thing.radius
    shade = thing.shape(*thing.local(x + away * light_x, y + away * light_y), thing.variant).astype(np.float32)
    part *= 1 - 0.5 * cv2.GaussianBlur(shade, (0, 0), max(0.06 * thing.radius * side, 0.5))[..., None]
    toward = ((x - thing.centre[0]) * light_x + (y - thing.centre[1]) * light_y) / thing.radius
    brightness = 1 + strength * toward - 0.25 * (u * u + v * v) * (thing.label == CLASSES.index("ball"))
    part[inside] = (thing.texture.paint(u, v) * brightness[..., None])[inside]
    return window, inside


_WHOLE = (slice(None), slice(None))


def _grid(side: int, window: tuple[slice, slice] = _WHOLE) -> tuple[Grid, Grid]:
    """x and y of the pixels' centres in a part of the image, in parts of its side, (H, W) each."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.meshgrid(centres[window[1]], centres[window[0]])
    return x, y
