"""Sky, stars, clouds, sun and moon."""

from random import Random

from PIL import Image, ImageDraw

from painting import brushes
from painting.brushes import CANVAS, SCALE, both, cover, curve, halo, noise, oval, ramp, relief, shine
from painting.hours import Hour

HORIZON = 430


def paint_sky(canvas: Image.Image, hour: Hour) -> None:
    """Paint everything above the horizon."""
    canvas.paste(brushes.gradient((CANVAS[0], HORIZON * SCALE), hour.sky), (0, 0))
    if hour.starry:
        _paint_stars(canvas)
    _paint_glow(canvas, hour)
    _paint_orb(canvas, hour)
    _paint_veil(canvas, hour)
    _paint_clouds(canvas, hour)


def _paint_stars(canvas: Image.Image) -> None:
    random, mask = Random(11), Image.new("L", CANVAS)  # noqa: S311 -- no secret
    draw = ImageDraw.Draw(mask)
    for _ in range(620):
        x, y = random.uniform(0, CANVAS[0]), random.uniform(0, (HORIZON - 40) * SCALE)
        size, light = min(random.paretovariate(3.2) * 0.75, 2.0), random.randint(60, 255)
        fade = 1 - y / (HORIZON * SCALE) * 0.75
        draw.ellipse((x - size, y - size, x + size, y + size), fill=round(light * fade))
    shine(canvas, "#e8eeff", mask)
    shine(canvas, "#9fb5ff", brushes.softened(mask, 1.6), strength=0.8)
    _paint_milky_way(canvas)


def _paint_milky_way(canvas: Image.Image) -> None:
    band = brushes.shape([(560, -80), (760, -80), (1220, 430), (1010, 430)], blur=55)
    dust = noise(CANVAS, cells=(14, 8), octaves=6, seed=12, falloff=0.6)
    shine(canvas, "#5c74b8", both(band, ramp(dust, 0.25, 0.95)), strength=0.42)


def _paint_glow(canvas: Image.Image, hour: Hour) -> None:
    colour, reach = hour.glow
    shine(canvas, colour, halo(hour.orb, reach * 1.9, power=2.2), strength=0.55)
    shine(canvas, colour, halo(hour.orb, reach * 0.7, power=2.6), strength=0.7)
    shine(canvas, hour.orb_colour, halo(hour.orb, reach * 0.22, power=2.0), strength=0.8)


def _paint_orb(canvas: Image.Image, hour: Hour) -> None:
    (x, y), radius = hour.orb, hour.orb_radius
    disc = oval(x - radius, y - radius, x + radius, y + radius, blur=0.5)
    cover(canvas, hour.orb_colour, disc)
    if hour.starry:
        seas = noise(CANVAS, cells=(90, 50), octaves=4, seed=17)
        brushes.shade(canvas, "#9aa2b8", both(disc, ramp(seas, 0.4, 0.8)), strength=0.6)


def _paint_veil(canvas: Image.Image, hour: Hour) -> None:
    """Paint thin, high streaks."""
    streaks = noise(CANVAS, cells=(3, 22), octaves=6, seed=22, falloff=0.58)
    mask = both(ramp(streaks, 0.5, 0.95), _fade(top=0.0, full=0.25, end=0.95))
    cover(canvas, brushes.mixed(*hour.clouds[::-1], 0.75), mask, opacity=0.42)


def _paint_clouds(canvas: Image.Image, hour: Hour) -> None:
    """Paint heaps of cloud that are lit from where the orb is."""
    height = noise(CANVAS, cells=(5, 8), octaves=8, seed=31, falloff=0.54)
    threshold = 1 - hour.cloud_cover * 0.95
    mask = both(ramp(height, threshold, threshold + 0.24), _fade(top=0.02, full=0.4, end=0.97))
    slope = 10 * SCALE if hour.orb[1] < HORIZON / 2 else -10 * SCALE
    lit = relief(height, shift=(0, -slope), strength=2.2)
    cover(canvas, _cloud_colours(lit, hour), mask, opacity=0.9)
    rim = both(ramp(height, threshold - 0.03, threshold + 0.06), curve(mask, lambda value: 1 - value))
    shine(canvas, hour.clouds[0], both(rim, halo(hour.orb, hour.glow[1] * 1.6), mask), strength=0.8)


def _cloud_colours(lit: Image.Image, hour: Hour) -> Image.Image:
    light, dark = hour.clouds
    stops = ((0.0, dark), (0.5, brushes.mixed(dark, light, 0.55)), (0.85, light), (1.0, light))
    table = [brushes.ImageColor.getrgb(brushes.colour_at(stops, value / 255)) for value in range(256)]
    channels = [lit.point([colour[band] for colour in table]) for band in range(3)]
    return Image.merge("RGB", channels)


def _fade(*, top: float, full: float, end: float) -> Image.Image:
    """Cut a mask that grows from one share of the sky's height to another and ends at a third."""
    shares = ((0.0, top), (full, 1.0), (end - 0.12, 0.8), (end, 0.0), (1.0, 0.0))
    stops = [(place, brushes.mixed("#000000", "#ffffff", share)) for place, share in shares]
    mask = Image.new("L", CANVAS)
    mask.paste(brushes.gradient((CANVAS[0], HORIZON * SCALE), stops).convert("L"), (0, 0))
    return mask
