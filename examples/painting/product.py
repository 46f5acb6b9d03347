"""A bottle on a stone, by day and in the evening."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

from PIL import Image, ImageChops, ImageDraw, ImageFont

from painting import brushes
from painting.brushes import (
    CANVAS,
    SCALE,
    Point,
    Stops,
    both,
    cover,
    everywhere,
    halo,
    noise,
    ramp,
    relief,
    shade,
    shape,
    shine,
    turned,
)

_AXIS = 640
_STONE_TOP, _STONE_BOTTOM, _STONE_HALF = 556, 640, 268
_TILT = 0.17
"""How high a circle that lies flat looks against its width."""


@dataclass(frozen=True, kw_only=True)
class Studio:
    """How the set is lit."""

    wall: Stops
    floor: Stops
    ambient: str
    window: tuple[str, float]
    glow: tuple[str, float]
    rim: str


DAY = Studio(
    wall=((0.0, "#dccfbd"), (0.6, "#e9dfd0"), (1.0, "#d8c9b5")),
    floor=((0.0, "#d9c9b4"), (1.0, "#b7a48c")),
    ambient="#ffffff",
    window=("#fff6e2", 0.55),
    glow=("#ffb85c", 0.5),
    rim="#ffffff",
)

EVENING = Studio(
    wall=((0.0, "#2c1d2b"), (0.6, "#55303a"), (1.0, "#3d222c")),
    floor=((0.0, "#472a30"), (1.0, "#1f131b")),
    ambient="#a8798a",
    window=("#ff9a4d", 0.5),
    glow=("#ff8a2e", 0.95),
    rim="#ffc48a",
)


def paint_product(canvas: Image.Image, studio: Studio) -> None:
    """Paint the whole set."""
    _paint_room(canvas, studio)
    _paint_window(canvas, studio)
    _paint_stone(canvas, studio)
    _paint_shadow(canvas, studio)
    _paint_bottle(canvas, studio)


def _paint_room(canvas: Image.Image, studio: Studio) -> None:
    floor_top = 520 * SCALE
    canvas.paste(brushes.gradient((CANVAS[0], floor_top), studio.wall), (0, 0))
    canvas.paste(brushes.gradient((CANVAS[0], CANVAS[1] - floor_top), studio.floor), (0, floor_top))
    seam = shape([(0, 500), (1280, 500), (1280, 545), (0, 545)], blur=16)
    cover(canvas, studio.wall[-1][1], seam)
    shine(canvas, studio.window[0], halo((470, 260), 620, power=1.8), strength=studio.window[1] * 0.6)
    plaster = noise(CANVAS, cells=(9, 6), octaves=7, seed=201, falloff=0.62)
    shade(canvas, "#8c7c6c", ramp(plaster, 0.35, 1.0), strength=0.05)


def _paint_window(canvas: Image.Image, studio: Studio) -> None:
    """Throw the light of a window with bars, and the shadow of leaves, on the wall."""
    panes = [_pane(column, row) for column in range(2) for row in range(3)]
    light = shape(*panes, blur=5)
    shine(canvas, studio.window[0], both(light, ImageChops.invert(_leaves())), strength=studio.window[1])


def _pane(column: int, row: int) -> list[Point]:
    left, top = 150 + column * 170, 40 + row * 140
    corners = ((left, top), (left + 152, top), (left + 152, top + 124), (left, top + 124))
    return [(x + y * 0.32, y + x * 0.06) for x, y in corners]


def _leaves() -> Image.Image:
    """Cut the shadow of a palm frond."""
    mask = Image.new("L", CANVAS)
    draw = ImageDraw.Draw(mask)
    for step in range(17):
        share = step / 16
        x, y = 120 + 440 * share, 70 + 210 * share**1.5
        for side in (-1, 1):
            angle = 0.55 + side * (1.15 - 0.45 * share)
            draw.polygon(brushes.scaled(_leaf((x, y), angle=angle, long=150 * (1 - 0.55 * share))), fill=255)
    return brushes.softened(mask, 4)


def _leaf(foot: Point, *, angle: float, long: float) -> list[Point]:
    along, across = (cos(angle), sin(angle)), (-sin(angle), cos(angle))
    shares = [step / 14 for step in range(15)]
    sides = [(share, 0.055 * long * sin(pi * share) ** 0.8) for share in shares]
    outline = [*sides, *[(share, -wide) for share, wide in reversed(sides)]]
    return [
        (
            foot[0] + along[0] * long * share + across[0] * wide,
            foot[1] + along[1] * long * share + across[1] * wide,
        )
        for share, wide in outline
    ]


def _paint_stone(canvas: Image.Image, studio: Studio) -> None:
    """Paint the round plinth and its shadow on the floor."""
    shade(canvas, "#3a2c26", _disc(_AXIS + 46, _STONE_BOTTOM + 18, _STONE_HALF + 44, blur=26), strength=0.7)
    top = _disc(_AXIS, _STONE_TOP, _STONE_HALF, blur=0.4)
    side = shape(_drum(), blur=0.4)
    travertine = _travertine(studio)
    cover(canvas, _cylinder(travertine, half=_STONE_HALF), side)
    cover(canvas, travertine, top)
    shine(
        canvas, studio.window[0], both(top, halo((_AXIS - 110, _STONE_TOP), 330)), strength=studio.window[1]
    )
    edge = ImageChops.subtract(top, _disc(_AXIS, _STONE_TOP - 1.6, _STONE_HALF - 2, blur=0.6))
    shine(canvas, studio.rim, edge, strength=0.35)


def _disc(x: float, y: float, half: float, *, blur: float) -> Image.Image:
    return brushes.oval(x - half, y - half * _TILT, x + half, y + half * _TILT, blur=blur)


def _drum() -> list[Point]:
    """Outline the plinth's side: straight down, and round below."""
    arc = [(step / 96 * pi) for step in range(97)]
    below = [
        (_AXIS + _STONE_HALF * cos(turn), _STONE_BOTTOM + _STONE_HALF * _TILT * sin(turn)) for turn in arc
    ]
    return [(_AXIS - _STONE_HALF, _STONE_TOP), (_AXIS + _STONE_HALF, _STONE_TOP), *below]


def _travertine(studio: Studio) -> Image.Image:
    layers = noise(CANVAS, cells=(5, 60), octaves=6, seed=211, falloff=0.6)
    pores = turned(noise(CANVAS, cells=(150, 190), octaves=3, seed=212), 4)
    stone = Image.new("RGB", CANVAS, "#e2d5c1")
    cover(stone, "#c5ae8f", ramp(layers, 0.45, 0.85), opacity=0.8)
    cover(stone, "#f1e9dc", ramp(layers, 0.4, 0.15), opacity=0.7)
    shade(stone, "#8d7558", both(ramp(pores, 0.72, 0.85), ramp(layers, 0.4, 0.7)), strength=0.7)
    lit = relief(layers, shift=(-SCALE, SCALE), strength=1.4)
    shade(stone, "#9c8a76", ramp(lit, 0.5, 0.2), strength=0.5)
    shade(stone, studio.ambient, everywhere())
    return stone


def _cylinder(paint: Image.Image, *, half: float) -> Image.Image:
    """Shade paint as a cylinder around the axis, lit from the left."""
    stops = ((0.0, "#8d8784"), (0.2, "#f6f2ee"), (0.4, "#efe9e4"), (0.7, "#a39a94"), (1.0, "#5f5856"))
    area = brushes.box(_AXIS - half, 0, _AXIS + half, 720)
    roundness = Image.new("RGB", CANVAS, "white")
    roundness.paste(brushes.gradient((area[2] - area[0], CANVAS[1]), stops, sideways=True), area)
    return ImageChops.multiply(paint, roundness)


def _paint_shadow(canvas: Image.Image, studio: Studio) -> None:
    """Paint the bottle's shadow, and the light that its glass gathers in it."""
    stone = _disc(_AXIS, _STONE_TOP, _STONE_HALF, blur=1)
    long = shape([(_AXIS - 70, 556), (_AXIS + 70, 548), (_AXIS + 300, 566), (_AXIS + 260, 600)], blur=9)
    shade(canvas, "#4b3527", both(long, stone), strength=0.7)
    shade(canvas, "#2c1b14", _disc(_AXIS + 6, 558, 84, blur=4), strength=0.75)
    caustic = shape([(_AXIS + 50, 554), (_AXIS + 84, 551), (_AXIS + 196, 566), (_AXIS + 150, 578)], blur=6)
    shine(canvas, studio.glow[0], both(caustic, stone), strength=studio.glow[1])


_GLASS = (
    (0.0, "#2b0f04"),
    (0.06, "#6b2c0a"),
    (0.14, "#b85d14"),
    (0.3, "#d97e22"),
    (0.5, "#b65a14"),
    (0.75, "#7c340c"),
    (0.93, "#9c4a12"),
    (1.0, "#2b0f04"),
)
_CAP = (
    (0.0, "#0d0d0f"),
    (0.2, "#57565a"),
    (0.32, "#2c2b2f"),
    (0.8, "#121215"),
    (0.94, "#3a383c"),
    (1.0, "#0a0a0b"),
)
_GOLD = (
    (0.0, "#5f4318"),
    (0.22, "#fff0bf"),
    (0.4, "#c99a45"),
    (0.75, "#7d5a22"),
    (0.92, "#e2bd70"),
    (1.0, "#4a3412"),
)


def _paint_bottle(canvas: Image.Image, studio: Studio) -> None:
    body = _rounded_box(_AXIS - 76, 268, _AXIS + 76, 562, top=46, bottom=16)
    _paint_turned(canvas, studio, _GLASS, body, opacity=0.97)
    _paint_depth(canvas, studio, shape(body))
    _paint_turned(canvas, studio, _GLASS, _rounded_box(_AXIS - 27, 238, _AXIS + 27, 276, top=4, bottom=2))
    _paint_turned(canvas, studio, _GOLD, _rounded_box(_AXIS - 33, 212, _AXIS + 33, 250, top=3, bottom=3))
    _paint_turned(canvas, studio, _CAP, _rounded_box(_AXIS - 20, 116, _AXIS + 20, 214, top=19, bottom=4))
    _paint_gleams(canvas, studio)
    _paint_label(canvas, studio)


def _paint_turned(
    canvas: Image.Image, studio: Studio, stops: Stops, outline: Sequence[Point], *, opacity: float = 1.0
) -> None:
    """Paint a round part by its colours from left to right."""
    area = brushes.bounds(outline)
    paint = brushes.gradient((area[2] - area[0], area[3] - area[1]), stops, sideways=True)
    shade(paint, studio.ambient, everywhere(paint.size), strength=0.6)
    mask = brushes.curve(shape(outline, blur=0.35), lambda value: value * opacity)
    canvas.paste(paint, area, mask.crop(area))


def _paint_depth(canvas: Image.Image, studio: Studio, body: Image.Image) -> None:
    """Paint the thick bottom, the oil's level and the light that shines through."""
    shade(
        canvas,
        "#5a2408",
        both(body, shape([(540, 520), (740, 520), (740, 570), (540, 570)], blur=12)),
        strength=0.7,
    )
    shade(
        canvas,
        "#6e2f0b",
        both(body, shape([(540, 240), (740, 240), (740, 322), (540, 322)], blur=3)),
        strength=0.4,
    )
    shine(canvas, "#ffc877", both(body, _disc(_AXIS, 322, 68, blur=1.2)), strength=0.28)
    shine(
        canvas,
        studio.glow[0],
        both(body, halo((_AXIS + 22, 470), 150, power=1.6)),
        strength=studio.glow[1] * 0.9,
    )


def _paint_label(canvas: Image.Image, studio: Studio) -> None:
    outline = _rounded_box(_AXIS - 75, 356, _AXIS + 75, 500, top=2, bottom=2)
    stops = ((0.0, "#8f8576"), (0.16, "#efe7d8"), (0.4, "#fbf6ec"), (0.7, "#d8cebd"), (1.0, "#857a6b"))
    _paint_turned(canvas, studio, stops, outline)
    ink = Image.new("L", CANVAS)
    _write(ink, "ISLA", y=396, size=34, spacing=9)
    _write(ink, "NIGHT OIL", y=440, size=12, spacing=4)
    _write(ink, "30 ml", y=478, size=11, spacing=2)
    ImageDraw.Draw(ink).line(brushes.scaled([(_AXIS - 18, 421), (_AXIS + 18, 421)]), fill=255, width=SCALE)
    cover(canvas, brushes.tinted("#3a2a1f", studio.ambient), ink)


def _write(ink: Image.Image, text: str, *, y: float, size: float, spacing: float) -> None:
    """Write a line, centred on the axis, letter by letter."""
    font, draw = ImageFont.load_default(size * SCALE), ImageDraw.Draw(ink)
    widths = [font.getlength(letter) + spacing * SCALE for letter in text]
    x = _AXIS * SCALE - (sum(widths) - spacing * SCALE) / 2
    for letter, wide in zip(text, widths, strict=True):
        draw.text((x, y * SCALE), letter, fill=255, font=font, anchor="lm")
        x += wide


def _paint_gleams(canvas: Image.Image, studio: Studio) -> None:
    """Let a soft box shine in the glass."""
    left = shape(_rounded_box(_AXIS - 62, 306, _AXIS - 48, 540, top=7, bottom=7), blur=1.6)
    right = shape(_rounded_box(_AXIS + 63, 316, _AXIS + 67, 545, top=2, bottom=2), blur=1.4)
    shoulder = shape(_rounded_box(_AXIS - 52, 281, _AXIS - 8, 289, top=4, bottom=4), blur=2.4)
    shine(canvas, studio.rim, left, strength=0.5)
    shine(canvas, studio.rim, right, strength=0.5)
    shine(canvas, studio.rim, shoulder, strength=0.4)


def _rounded_box(
    left: float, high: float, right: float, low: float, *, top: float, bottom: float
) -> list[Point]:
    """Outline a box with round corners, of one radius above and one below."""
    corners = (
        (left + top, high + top, top, pi),
        (right - top, high + top, top, 1.5 * pi),
        (right - bottom, low - bottom, bottom, 0),
        (left + bottom, low - bottom, bottom, 0.5 * pi),
    )
    return [
        (x + radius * cos(start + step / 20 * pi), y + radius * sin(start + step / 20 * pi))
        for x, y, radius, start in corners
        for step in range(11)
    ]
