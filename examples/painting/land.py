"""The headland, the cliff and the surf."""

from itertools import pairwise
from random import Random

from PIL import Image, ImageDraw

from painting import brushes
from painting.brushes import (
    CANVAS,
    SCALE,
    Point,
    both,
    cover,
    curve,
    everywhere,
    noise,
    ramp,
    relief,
    ridges,
    rugged,
    shade,
    shine,
    softened,
    tinted,
    turned,
)
from painting.hours import Hour
from painting.sky import HORIZON

_EDGE = rugged(
    [(598, 640), (640, 545), (668, 470), (700, 412), (760, 398), (900, 386), (1060, 382), (1290, 352)],
    roughness=0.11,
    seed=5,
)
"""The cliff against sea and sky, from its foot on the left."""

_FOOT = rugged([(598, 640), (700, 672), (820, 690), (940, 730)], roughness=0.09, seed=6)
"""Where the cliff meets the water."""


def paint_land(canvas: Image.Image, hour: Hour) -> None:
    """Paint the distant headland, the cliff before it and the surf at its foot."""
    _paint_headland(canvas, hour)
    rock = _rock(hour)
    _paint_rocks(canvas, hour, rock=rock)
    cliff = brushes.shape([*_EDGE, (1290, 730), *reversed(_FOOT)])
    _paint_reflection(canvas, hour)
    cover(canvas, rock, cliff)
    shade(canvas, "#5d5468", both(cliff, _turned_away()), strength=0.75)
    _paint_grass(canvas, hour, cliff=cliff)
    _paint_surf(canvas, hour)


def _paint_headland(canvas: Image.Image, hour: Hour) -> None:
    layers = ((-10, 250, 34, 0.72, 51), (-10, 140, 52, 0.5, 52))
    for start, end, high, haze, seed in layers:
        line = rugged(
            [(start, HORIZON - high), (end * 0.6, HORIZON - high * 0.55), (end, HORIZON)],
            roughness=0.09,
            seed=seed,
        )
        colour = brushes.mixed(tinted("#4d5a55", hour.ambient), hour.haze, haze)
        cover(canvas, colour, brushes.shape([(start, HORIZON + 2), *line, (end, HORIZON + 2)], blur=0.6))


def _paint_rocks(canvas: Image.Image, hour: Hour, *, rock: Image.Image) -> None:
    """Paint a few rocks in the water before the cliff."""
    for x, y, wide, high, seed in ((520, 640, 60, 26, 61), (576, 668, 84, 36, 62), (668, 706, 120, 40, 63)):
        top = rugged([(x - wide / 2, y), (x - 6, y - high), (x + wide / 2, y)], roughness=0.16, seed=seed)
        cover(canvas, rock, brushes.shape(top, blur=0.4))
        _paint_foam(canvas, hour, line=[(x - wide * 0.6, y), (x + wide * 0.6, y + 2)], width=7, seed=seed)


def _rock(hour: Hour) -> Image.Image:
    """Paint stone everywhere: buttresses, tilted layers, light from the left."""
    layers = turned(noise(CANVAS, cells=(8, 60), octaves=6, seed=71, falloff=0.6), -6)
    rough = turned(noise(CANVAS, cells=(44, 34), octaves=5, seed=73, falloff=0.68), 24)
    pillars = ridges(turned(noise(CANVAS, cells=(34, 7), octaves=5, seed=74, falloff=0.5), 9))
    stone = brushes.gradient(
        CANVAS, ((0.0, "#b39d84"), (0.6, "#a38b73"), (0.82, "#75635a"), (1.0, "#453d3b"))
    )
    cover(stone, "#cdb28c", ramp(layers, 0.55, 0.85), opacity=0.6)
    cover(stone, "#6a5a52", ramp(layers, 0.45, 0.2), opacity=0.6)
    forms = Image.blend(Image.blend(pillars, rough, 0.3), layers, 0.3)
    _light_up(stone, hour, lit=relief(softened(forms, 1.4), shift=(-6 * SCALE, 5 * SCALE), strength=1.5))
    _light_up(
        stone, hour, lit=relief(Image.blend(rough, layers, 0.5), shift=(-SCALE, 2 * SCALE), strength=2.2)
    )
    shade(stone, brushes.mixed(hour.ambient, "#ffffff", 0.15), everywhere())
    return stone


def _light_up(stone: Image.Image, hour: Hour, *, lit: Image.Image) -> None:
    """Show a relief by light and shadow; towards the right the cliff turns away from the light."""
    shade(stone, "#2a2430", ramp(lit, 0.56, 0.12), strength=0.8)
    light = brushes.mixed("#ffffff", hour.key[0], 0.7)
    shine(stone, light, both(ramp(lit, 0.5, 0.95), _from_left()), strength=0.22 + hour.key[1] * 0.6)


def _turned_away() -> Image.Image:
    """Cut a mask of how much of the cliff lies in its own shadow: most at the bottom right."""
    return brushes.shape([(760, 760), (900, 560), (1320, 470), (1320, 760)], blur=70)


def _from_left() -> Image.Image:
    """Cut a mask of how much light reaches the cliff: most at its left edge."""
    return brushes.gradient(
        CANVAS, ((0.0, "#ffffff"), (0.5, "#ffffff"), (0.62, "#999999"), (1.0, "#333333")), sideways=True
    ).convert("L")


def _paint_grass(canvas: Image.Image, hour: Hour, *, cliff: Image.Image) -> None:
    top = [(x, y - 4) for x, y in _EDGE if y < HORIZON - 10]
    brink = rugged([(690, 430), (760, 432), (900, 446), (1080, 470), (1290, 520)], roughness=0.08, seed=81)
    meadow = both(cliff, brushes.shape([*top, (1290, 340), *reversed(brink)], blur=0.8))
    cover(canvas, _meadow(hour), meadow)
    hem = both(cliff, brushes.shape([*brink, *[(x, y + 12) for x, y in reversed(brink)]], blur=4))
    shade(canvas, "#2b2622", hem, strength=0.6)
    _paint_blades(canvas, hour, line=top)


def _meadow(hour: Hour) -> Image.Image:
    tufts = turned(noise(CANVAS, cells=(330, 150), octaves=3, seed=82, falloff=0.75), 12)
    swells = turned(noise(CANVAS, cells=(26, 40), octaves=4, seed=83), -9)
    grass = brushes.gradient(
        CANVAS, ((0.0, "#93a85c"), (0.54, "#93a85c"), (0.68, "#6a8744"), (1.0, "#3a5530"))
    )
    cover(grass, "#bdb066", ramp(swells, 0.55, 0.85), opacity=0.55)
    cover(grass, "#4c6b35", ramp(swells, 0.42, 0.15), opacity=0.55)
    lit = relief(tufts, shift=(-SCALE, 2 * SCALE), strength=0.8)
    shade(grass, "#3c4a2c", ramp(lit, 0.52, 0.15), strength=0.75)
    shade(grass, hour.ambient, everywhere())
    shine(grass, hour.key[0], both(ramp(lit, 0.45, 0.9), _from_left()), strength=hour.key[1])
    return grass


def _paint_blades(canvas: Image.Image, hour: Hour, *, line: list[Point]) -> None:
    """Let single blades stand out against the sky."""
    random, mask = Random(84), Image.new("L", CANVAS)  # noqa: S311 -- no secret
    draw = ImageDraw.Draw(mask)
    for (x, y), (end, _) in pairwise(line):
        for _ in range(max(round((end - x) * 1.6), 1)):
            foot, high = random.uniform(x, max(end, x)), random.triangular(1, 8, 2)
            tip = (foot + random.uniform(-2, 3.5), y - high)
            draw.line(brushes.scaled([(foot, y + 5), tip]), fill=random.randint(90, 230), width=1)
    cover(canvas, tinted("#70813f", hour.ambient), mask)


def _paint_reflection(canvas: Image.Image, hour: Hour) -> None:
    """Darken the water that mirrors the cliff."""
    water = brushes.shape([(560, 640), (620, 600), (960, 640), (960, 720), (640, 720)], blur=24)
    shade(canvas, brushes.mixed(tinted("#4a4440", hour.ambient), "#ffffff", 0.1), water, strength=0.75)


def _paint_surf(canvas: Image.Image, hour: Hour) -> None:
    _paint_foam(canvas, hour, line=list(_FOOT), width=12, seed=91)
    drift = [(x - 34, y + 16) for x, y in _FOOT]
    _paint_foam(canvas, hour, line=drift, width=9, seed=92, opacity=0.55)


def _paint_foam(
    canvas: Image.Image, hour: Hour, *, line: list[Point], width: float, seed: int, opacity: float = 0.9
) -> None:
    mask = Image.new("L", CANVAS)
    ImageDraw.Draw(mask).line(brushes.scaled(line), fill=255, width=round(width * SCALE), joint="curve")
    bubbles = noise(CANVAS, cells=(110, 130), octaves=4, seed=seed, falloff=0.75)
    foam = softened(both(softened(mask, width / 3), ramp(bubbles, 0.32, 0.68)), 0.5)
    white = brushes.mixed(tinted("#ffffff", hour.ambient), hour.sky[-1][1], 0.35)
    cover(canvas, white, curve(foam, lambda value: value * 1.3), opacity=opacity)
