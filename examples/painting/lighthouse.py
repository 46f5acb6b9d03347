"""The lighthouse, its keeper's house and its beam."""

from collections.abc import Sequence
from math import cos, pi, sin

from PIL import Image, ImageDraw

from painting import brushes
from painting.brushes import CANVAS, SCALE, Point, both, cover, halo, noise, ramp, shade, shape, shine, tinted
from painting.hours import Hour

_AXIS = 930
_FOOT, _NECK = 396, 168
_WIDE, _NARROW = 33, 20
_LAMP = (_AXIS, 138)
_BANDS = ((0.17, 0.37), (0.57, 0.77))
"""The red bands, as shares of the tower's height from its neck."""


_ROUND = (
    (0.0, "#b8b2b4"),
    (0.16, "#f2efec"),
    (0.34, "#ffffff"),
    (0.6, "#cfcac9"),
    (0.85, "#8a8590"),
    (1.0, "#77727f"),
)
_LIT_SIDE = ((0.0, "#000000"), (0.08, "#999999"), (0.3, "#ffffff"), (0.62, "#000000"), (1.0, "#000000"))
_IRON = "#3a3f47"


def paint_lighthouse(canvas: Image.Image, hour: Hour) -> None:
    """Paint house, tower, gallery and lantern, and whatever light they give."""
    if hour.lamp >= 1:
        _paint_beam(canvas)
    _paint_house(canvas, hour)
    _paint_tower(canvas, hour)
    _paint_gallery(canvas, hour)
    _paint_lantern(canvas, hour)
    _paint_lamplight(canvas, hour)


def _half(share: float) -> float:
    """Return half the tower's width at a share of its height from the neck."""
    return _NARROW + (_WIDE - _NARROW) * share**1.25


def _height(share: float) -> float:
    return _NECK + (_FOOT - _NECK) * share


def _segment(start: float, end: float) -> list[Point]:
    """Outline a piece of the tower; its rims are bowed, for it is round and seen from below."""
    steps = [step / 24 for step in range(25)]
    sides = [start + (end - start) * step for step in steps]
    left = [(_AXIS - _half(share), _height(share)) for share in sides]
    right = [(_AXIS + _half(share), _height(share)) for share in reversed(sides)]
    return [*_rim(start), *right[::-1], *_rim(end)[::-1], *left[::-1]]


def _rim(share: float) -> list[Point]:
    bow = 5.5 * (1 - share) - 1.5
    half = _half(share)
    return [
        (_AXIS - half * cos(step / 16 * pi), _height(share) - bow * sin(step / 16 * pi)) for step in range(17)
    ]


def _paint_tower(canvas: Image.Image, hour: Hour) -> None:
    area = brushes.bounds(_segment(0, 1))
    paint = Image.new("RGB", (area[2] - area[0], area[3] - area[1]), "#f4efe4")
    cover(paint, "#c2362f", shape(*(_segment(*band) for band in _BANDS), blur=0.3).crop(area))
    weather = noise(paint.size, cells=(10, 5), octaves=4, seed=101, falloff=0.7)
    shade(paint, "#b9a98f", ramp(weather, 0.5, 0.9), strength=0.38)
    _round_off(paint, hour)
    canvas.paste(paint, area, shape(_segment(0, 1), blur=0.3).crop(area))
    _paint_windows(canvas, hour)


def _dusk_share(hour: Hour) -> float:
    """Tell how brightly people light their rooms: not before the lamp is more than half lit."""
    return min(max(hour.lamp * 2.5 - 1, 0), 1)


def _paint_windows(canvas: Image.Image, hour: Hour) -> None:
    pane = brushes.mixed(tinted("#34404e", hour.ambient), "#ffcf7a", _dusk_share(hour))
    for share, x in ((0.1, -4), (0.46, -7), (0.85, -10)):
        y, left = _height(share), _AXIS + x
        cover(canvas, tinted("#8f877b", hour.ambient), shape(_arch(left - 1.2, y - 1.2, 8.4, 15.4)))
        cover(canvas, pane, shape(_arch(left, y, 6, 13)))


def _arch(left: float, top: float, wide: float, high: float) -> list[Point]:
    centre, radius = left + wide / 2, wide / 2
    bow = [
        (centre - radius * cos(step / 12 * pi), top + radius - radius * sin(step / 12 * pi))
        for step in range(13)
    ]
    return [*bow, (left + wide, top + high), (left, top + high)]


def _round_off(paint: Image.Image, hour: Hour) -> None:
    """Shade a wall that fills the whole picture as a cylinder, lit from the left."""
    roundness = brushes.gradient(paint.size, _ROUND, sideways=True)
    paint.paste(brushes.ImageChops.multiply(paint, roundness))
    shade(paint, hour.ambient, brushes.everywhere(paint.size))
    lit_side = brushes.gradient(paint.size, _LIT_SIDE, sideways=True).convert("L")
    shine(paint, hour.key[0], lit_side, strength=hour.key[1])


def _paint_part(canvas: Image.Image, hour: Hour, colour: str, outline: Sequence[Point]) -> None:
    """Paint a round part of one colour."""
    area = brushes.bounds(outline)
    paint = Image.new("RGB", (area[2] - area[0], area[3] - area[1]), colour)
    _round_off(paint, hour)
    canvas.paste(paint, area, shape(outline, blur=0.25).crop(area))


def _paint_gallery(canvas: Image.Image, hour: Hour) -> None:
    corbel = [(_AXIS - 20, 174), (_AXIS - 31, 160), (_AXIS + 31, 160), (_AXIS + 20, 174)]
    _paint_part(canvas, hour, "#d9d2c6", corbel)
    _paint_part(canvas, hour, _IRON, _slab(half=34, top=156, bottom=161))


def _slab(*, half: float, top: float, bottom: float, centre: float = _AXIS) -> list[Point]:
    return [(centre - half, bottom), (centre - half, top), (centre + half, top), (centre + half, bottom)]


def _paint_lantern(canvas: Image.Image, hour: Hour) -> None:
    glass = _slab(half=15, top=122, bottom=157)
    _paint_part(canvas, hour, brushes.mixed("#9fb6c4", "#ffd98c", hour.lamp), glass)
    if hour.lamp:
        shine(canvas, "#fff2c4", both(shape(glass, blur=1), halo(_LAMP, 26, power=1.2)), strength=hour.lamp)
    for x in (-15, -7.5, 0, 7.5, 15):
        _paint_part(canvas, hour, _IRON, _slab(half=0.9, top=121, bottom=158, centre=_AXIS + x))
    _paint_roof(canvas, hour)
    _paint_rails(canvas, hour)


def _paint_rails(canvas: Image.Image, hour: Hour) -> None:
    rails = Image.new("L", CANVAS)
    draw = ImageDraw.Draw(rails)
    for x in range(-33, 34, 6):
        draw.line(brushes.scaled([(_AXIS + x, 157), (_AXIS + x, 142)]), fill=255, width=SCALE)
    for y in (142, 149):
        draw.line(brushes.scaled([(_AXIS - 33, y), (_AXIS + 33, y)]), fill=255, width=SCALE)
    cover(canvas, tinted("#30353d", hour.ambient), rails)


def _paint_roof(canvas: Image.Image, hour: Hour) -> None:
    dome = [(_AXIS - 18 * cos(step / 20 * pi), 119 - 19 * sin(step / 20 * pi)) for step in range(21)]
    spire = [(_AXIS - 1.3, 101), (_AXIS - 0.5, 78), (_AXIS + 0.5, 78), (_AXIS + 1.3, 101)]
    ball = [(_AXIS + 3.4 * cos(step / 8 * pi), 97 + 3.4 * sin(step / 8 * pi)) for step in range(16)]
    _paint_part(canvas, hour, "#b3322c", dome)
    for iron in (_slab(half=19, top=119, bottom=123), spire, ball):
        _paint_part(canvas, hour, _IRON, iron)


def _paint_house(canvas: Image.Image, hour: Hour) -> None:
    """Paint the keeper's cottage to the right of the tower."""
    wall = [(978, 394), (978, 352), (1078, 352), (1078, 391)]
    roof = [(970, 354), (994, 324), (1064, 324), (1087, 354)]
    _paint_flat(canvas, hour, "#e9e2d3", wall, lit=0.5)
    _paint_flat(canvas, hour, "#9c3f34", roof, lit=0.8)
    _paint_flat(canvas, hour, "#c9bfae", [(1040, 330), (1040, 310), (1052, 310), (1052, 330)], lit=0.5)
    pane = brushes.mixed(tinted("#3d4b59", hour.ambient), "#ffc66b", _dusk_share(hour))
    for left in (990, 1016, 1056):
        cover(canvas, pane, shape([(left, 362), (left + 11, 362), (left + 11, 376), (left, 376)]))
        shine(canvas, "#ffb860", halo((left + 5, 369), 26), strength=0.5 * _dusk_share(hour))
    _paint_flat(canvas, hour, "#5d3a2c", _arch(1036, 364, 13, 28), lit=0.3)


def _paint_flat(
    canvas: Image.Image, hour: Hour, colour: str, outline: Sequence[Point], *, lit: float
) -> None:
    light = brushes.mixed("#000000", hour.key[0], hour.key[1] * lit * 0.7)
    cover(canvas, brushes.screened(tinted(colour, hour.ambient), light), shape(outline, blur=0.3))


def _paint_lamplight(canvas: Image.Image, hour: Hour) -> None:
    if not hour.lamp:
        return
    shine(canvas, "#ffdf9a", halo(_LAMP, 70 + 90 * hour.lamp, power=2.4), strength=0.8 * hour.lamp)
    shine(canvas, "#fffbe8", halo(_LAMP, 22, power=1.4), strength=hour.lamp)


def _paint_beam(canvas: Image.Image) -> None:
    """Throw the light over the sea, and faintly the other way."""
    x, y = _LAMP
    for outline, reach, strength in (
        ([(x, y - 3), (-40, y - 74), (-40, y + 62), (x, y + 3)], 1150.0, 0.62),
        ([(x, y - 3), (1320, y - 46), (1320, y + 22), (x, y + 3)], 560.0, 0.5),
    ):
        wide, fade = shape(outline, blur=10), halo(_LAMP, reach, power=1.1)
        shine(canvas, "#ffe7b0", both(wide, fade), strength=strength)
        core = [(px, y + (py - y) * 0.42) for px, py in outline]
        shine(canvas, "#fff6da", both(shape(core, blur=5), fade), strength=strength * 0.8)
