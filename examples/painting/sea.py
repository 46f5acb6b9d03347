"""The sea: what it mirrors, its waves, the path of light."""

from PIL import Image, ImageFilter, ImageOps

from painting import brushes
from painting.brushes import CANVAS, SCALE, both, cover, curve, noise, ramp, shade, shine
from painting.hours import Hour
from painting.sky import HORIZON

_TOP = HORIZON * SCALE
_HIGH = CANVAS[1] - _TOP


def paint_sea(canvas: Image.Image, hour: Hour) -> None:
    """Paint everything from the horizon down, as far as there is no land."""
    mirrored = _mirror(canvas)
    canvas.paste(brushes.gradient((CANVAS[0], _HIGH), hour.sea), (0, _TOP))
    cover(canvas, mirrored, _growing(0.75, 0.12))
    swell, ripples = _waves(seed=41, far=16.0), _waves(seed=42, far=40.0)
    near = _growing(0.35, 1.0)
    shade(canvas, hour.sea[-1][1], both(ramp(swell, 0.55, 0.1), near), strength=0.4)
    shine(canvas, hour.sky[-2][1], both(ramp(swell, 0.6, 1.0), near), strength=0.22)
    shine(canvas, hour.sky[-1][1], both(ramp(ripples, 0.66, 1.0), near), strength=0.22)
    _paint_path(canvas, hour, waves=Image.blend(swell, ripples, 0.6))
    _paint_horizon(canvas, hour)


def _mirror(canvas: Image.Image) -> Image.Image:
    """Turn the sky over and blur it as moving water does."""
    sky = ImageOps.flip(canvas.crop((0, 0, CANVAS[0], _TOP))).resize((CANVAS[0], _HIGH))
    picture = Image.new("RGB", CANVAS)
    picture.paste(sky.filter(ImageFilter.GaussianBlur(14 * SCALE)), (0, _TOP))
    return picture


def _waves(*, seed: int, far: float) -> Image.Image:
    """Paint crests as white on black, flatter and closer together the farther away they are.

    Args:
        seed: Decides the waves.
        far: How many times smaller they look at the horizon than at the bottom.
    """
    wide, tall = 6144, 4096
    texture = noise((wide, tall), cells=(40, 190), octaves=4, seed=seed, falloff=0.55)
    crests = curve(texture, lambda value: (1 - abs(2 * value - 1)) ** 1.4)
    picture = Image.new("L", CANVAS)
    place = 0.0
    for row in range(_HIGH):
        depth = 1 / (1 / far + (1 - 1 / far) * (row / _HIGH))
        across, down = min(CANVAS[0] * depth**0.6, wide), depth
        line = (wide / 2 - across / 2, place, wide / 2 + across / 2, min(place + down, tall))
        strip = crests.resize((CANVAS[0], 1), Image.Resampling.BOX, box=line)
        picture.paste(strip, (0, _TOP + row))
        place = (place + down) % (tall - far - 1)
    return picture


def _paint_path(canvas: Image.Image, hour: Hour, *, waves: Image.Image) -> None:
    colour, strength = hour.path
    x = hour.orb[0]
    wide = brushes.shape([(x - 60, HORIZON), (x + 60, HORIZON), (x + 190, 740), (x - 190, 740)], blur=46)
    close = brushes.shape([(x - 14, HORIZON), (x + 14, HORIZON), (x + 70, 740), (x - 70, 740)], blur=16)
    sea = brushes.shape([(0, HORIZON), (1280, HORIZON), (1280, 720), (0, 720)])
    glitter = ramp(waves, 0.42, 0.72)
    shine(canvas, colour, both(wide, sea), strength=0.22 * strength)
    shine(canvas, colour, both(wide, glitter, sea), strength=0.6 * strength)
    shine(canvas, colour, both(close, ramp(waves, 0.3, 0.6), sea), strength=0.85 * strength)


def _paint_horizon(canvas: Image.Image, hour: Hour) -> None:
    line = brushes.shape(
        [(0, HORIZON - 3), (1280, HORIZON - 3), (1280, HORIZON + 9), (0, HORIZON + 9)], blur=5
    )
    cover(canvas, hour.haze, line, opacity=0.5)


def _growing(start: float, end: float) -> Image.Image:
    """Cut a mask over the sea that goes from one opacity at the horizon to another at the bottom."""
    stops = [
        (place, brushes.mixed("#000000", "#ffffff", share)) for place, share in ((0.0, start), (1.0, end))
    ]
    mask = Image.new("L", CANVAS)
    mask.paste(brushes.gradient((CANVAS[0], _HIGH), stops).convert("L"), (0, _TOP))
    return mask
