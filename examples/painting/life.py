"""Gulls and a sailing boat."""

from dataclasses import dataclass

from PIL import Image, ImageDraw

from painting import brushes
from painting.brushes import CANVAS, SCALE, Point, cover, shade, shape, tinted
from painting.hours import Hour


@dataclass(frozen=True)
class _Gull:
    place: Point
    span: float
    lift: float


_GULLS = (
    _Gull((640, 196), 34, 0.34),
    _Gull((706, 232), 24, 0.22),
    _Gull((590, 250), 20, 0.4),
    _Gull((1120, 150), 28, 0.28),
    _Gull((772, 150), 18, 0.36),
)


def paint_life(canvas: Image.Image, hour: Hour) -> None:
    """Paint what moves by day; at night all are asleep."""
    if hour.starry:
        return
    _paint_gulls(canvas, hour)
    _paint_boat(canvas, hour)


def _paint_gulls(canvas: Image.Image, hour: Hour) -> None:
    mask = Image.new("L", CANVAS)
    for gull in _GULLS:
        _draw_gull(ImageDraw.Draw(mask), gull)
    cover(canvas, tinted("#59606b", hour.ambient), brushes.softened(mask, 0.3))


def _draw_gull(draw: ImageDraw.ImageDraw, gull: _Gull) -> None:
    for side in (-1, 1):
        draw.polygon(brushes.scaled(_wing(gull, side=side)), fill=255)
    (x, y), long = gull.place, gull.span * 0.15
    draw.ellipse(brushes.box(x - long, y - 1.5, x + long, y + 2.2), fill=255)


def _wing(gull: _Gull, *, side: int) -> list[Point]:
    """Outline one wing: up to the wrist, and out to the tip."""
    (x, y), half, lift = gull.place, gull.span / 2 * side, gull.span * gull.lift
    upper = _bow((x, y - 1), (x + half * 0.45, y - lift * 1.25), (x + half, y - lift * 0.35))
    lower = _bow((x + half, y - lift * 0.35), (x + half * 0.45, y - lift * 0.85), (x, y + 2))
    return [*upper, *lower]


def _bow(start: Point, via: Point, end: Point) -> list[Point]:
    """Draw a quadratic Bézier curve."""
    shares = [step / 12 for step in range(13)]
    return [
        (
            (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * via[0] + t * t * end[0],
            (1 - t) ** 2 * start[1] + 2 * t * (1 - t) * via[1] + t * t * end[1],
        )
        for t in shares
    ]


def _paint_boat(canvas: Image.Image, hour: Hour) -> None:
    x, y = hour.boat
    shade(
        canvas,
        "#56606e",
        shape([(x - 16, y), (x + 18, y), (x + 6, y + 22), (x - 6, y + 22)], blur=3),
        strength=0.7,
    )
    main = [*_bow((x, y - 46), (x + 16, y - 26), (x + 19, y - 6)), (x, y - 5)]
    jib = [*_bow((x - 2, y - 42), (x - 10, y - 20), (x - 17, y - 6)), (x - 3, y - 6)]
    cover(
        canvas, brushes.mixed(tinted("#fbf6ea", hour.ambient), hour.key[0], 0.6), shape(main, jib, blur=0.3)
    )
    cover(canvas, tinted("#dcd6cc", hour.ambient), shape(jib, blur=0.3), opacity=0.35)
    hull = [(x - 20, y - 4), (x + 21, y - 4), (x + 15, y + 2), (x - 13, y + 2)]
    cover(canvas, tinted("#7b3b33", hour.ambient), shape(hull, blur=0.3))
    mast = Image.new("L", CANVAS)
    ImageDraw.Draw(mast).line(brushes.scaled([(x - 1, y - 48), (x - 1, y - 4)]), fill=255, width=SCALE)
    cover(canvas, tinted("#5a4636", hour.ambient), mast)
