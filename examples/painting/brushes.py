"""What every scene is painted with: gradients, noise, light."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter, ImageOps

SIZE = (1280, 720)
"""Of the finished picture; every coordinate is in its pixels."""

SCALE = 2
"""Pictures are painted larger by this factor and scaled down, which smooths all edges."""

CANVAS = (SIZE[0] * SCALE, SIZE[1] * SCALE)

Painter = Callable[[Image.Image], None]
"""Paints a canvas."""

Point = tuple[float, float]
Stops = Sequence[tuple[float, str]]
"""Colours at places from 0 to 1, in order."""


def scaled(points: Sequence[Point]) -> list[Point]:
    """Turn coordinates of the finished picture into those of the canvas."""
    return [(x * SCALE, y * SCALE) for x, y in points]


def box(left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
    """Turn a box in the finished picture into one on the canvas."""
    return (round(left * SCALE), round(top * SCALE), round(right * SCALE), round(bottom * SCALE))


def mixed(a: str, b: str, share: float) -> str:
    """Mix two colours; a share of 0 is all ``a``."""
    pairs = zip(ImageColor.getrgb(a), ImageColor.getrgb(b), strict=True)
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in pairs)


def tinted(colour: str, light: str) -> str:
    """Show a colour in a coloured light."""
    pairs = zip(ImageColor.getrgb(colour), ImageColor.getrgb(light), strict=True)
    return "#" + "".join(f"{a * b // 255:02x}" for a, b in pairs)


def screened(colour: str, light: str) -> str:
    """Add light to a colour."""
    pairs = zip(ImageColor.getrgb(colour), ImageColor.getrgb(light), strict=True)
    return "#" + "".join(f"{255 - (255 - a) * (255 - b) // 255:02x}" for a, b in pairs)


def colour_at(stops: Stops, place: float) -> str:
    """Read a gradient at one place."""
    for (before, first), (after, second) in pairwise(stops):
        if place <= after:
            return mixed(first, second, max(place - before, 0) / (after - before))
    return stops[-1][1]


def gradient(size: tuple[int, int], stops: Stops, *, sideways: bool = False) -> Image.Image:
    """Paint a gradient from top to bottom, or from left to right."""
    steps = size[0] if sideways else size[1]
    line = Image.new("RGB", (1, steps))
    line.putdata([ImageColor.getrgb(colour_at(stops, step / (steps - 1))) for step in range(steps)])
    return (line.transpose(Image.Transpose.ROTATE_90) if sideways else line).resize(size)


def noise(
    size: tuple[int, int], *, cells: tuple[int, int], octaves: int, seed: int, falloff: float = 0.5
) -> Image.Image:
    """Paint cloudy noise.

    Args:
        size: Of the picture.
        cells: How many of the largest patches lie side by side and one above the other.
        octaves: How often finer patches, half as large, are added.
        seed: The same seed paints the same noise.
        falloff: How strong each octave is against the one before.
    """
    random, picture, total = Random(seed), Image.new("L", size), 0.0  # noqa: S311 -- no secret
    for octave in range(octaves):
        across, down = cells[0] << octave, cells[1] << octave
        patches = Image.frombytes("L", (across, down), random.randbytes(across * down))
        total += falloff**octave
        picture = Image.blend(
            picture, patches.resize(size, Image.Resampling.BICUBIC), falloff**octave / total
        )
    return ImageOps.autocontrast(picture, cutoff=1)


def turned(texture: Image.Image, degrees: float) -> Image.Image:
    """Turn a texture, and enlarge it so that it still fills the canvas."""
    wide, high = texture.size
    larger = texture.resize((wide * 2, high * 2)).rotate(degrees, Image.Resampling.BICUBIC)
    return larger.crop((wide // 2, high // 2, wide // 2 + wide, high // 2 + high))


def ridges(texture: Image.Image) -> Image.Image:
    """Fold noise in the middle, which makes sharp crests."""
    return curve(texture, lambda value: 1 - abs(2 * value - 1))


def everywhere(size: tuple[int, int] = CANVAS) -> Image.Image:
    """Return the mask that hides nothing."""
    return Image.new("L", size, 255)


def bounds(outline: Sequence[Point]) -> tuple[int, int, int, int]:
    """Return the box on the canvas that an outline fills, and a little more."""
    xs, ys = zip(*outline, strict=True)
    return box(min(xs) - 1, min(ys) - 1, max(xs) + 1, max(ys) + 1)


def curve(mask: Image.Image, formula: Callable[[float], float]) -> Image.Image:
    """Bend a mask's values, seen as 0 to 1."""
    return mask.point([round(255 * min(max(formula(value / 255), 0), 1)) for value in range(256)])


def ramp(mask: Image.Image, low: float, high: float) -> Image.Image:
    """Stretch the values between two thresholds, softly, to the whole range."""

    def smooth(value: float) -> float:
        share = min(max((value - low) / (high - low), 0), 1)
        return share * share * (3 - 2 * share)

    return curve(mask, smooth)


def shape(*outlines: Sequence[Point], blur: float = 0) -> Image.Image:
    """Cut a mask out of polygons."""
    mask = Image.new("L", CANVAS)
    for outline in outlines:
        ImageDraw.Draw(mask).polygon(scaled(outline), fill=255)
    return softened(mask, blur)


def oval(left: float, top: float, right: float, bottom: float, *, blur: float = 0) -> Image.Image:
    """Cut an oval mask."""
    mask = Image.new("L", CANVAS)
    ImageDraw.Draw(mask).ellipse(box(left, top, right, bottom), fill=255)
    return softened(mask, blur)


def softened(picture: Image.Image, blur: float) -> Image.Image:
    """Blur by a radius in the finished picture's pixels."""
    return picture.filter(ImageFilter.GaussianBlur(blur * SCALE)) if blur else picture


def both(first: Image.Image, *others: Image.Image) -> Image.Image:
    """Keep what all masks have in common."""
    for other in others:
        first = ImageChops.multiply(first, other)
    return first


def halo(centre: Point, radius: float, *, power: float = 2.0) -> Image.Image:
    """Cut a round mask that fades from its centre; a higher power keeps it closer."""
    reach = round(radius * SCALE)
    disc = curve(Image.radial_gradient("L"), lambda value: max(1 - value * 1.42, 0) ** power)
    mask = Image.new("L", CANVAS)
    corner = (round(centre[0] * SCALE) - reach, round(centre[1] * SCALE) - reach)
    mask.paste(disc.resize((2 * reach, 2 * reach), Image.Resampling.BICUBIC), corner)
    return mask


def cover(canvas: Image.Image, paint: str | Image.Image, mask: Image.Image, *, opacity: float = 1.0) -> None:
    """Lay opaque paint over the canvas where the mask is."""
    canvas.paste(paint, (0, 0, *canvas.size), curve(mask, lambda value: value * opacity))


def shine(canvas: Image.Image, colour: str, mask: Image.Image, *, strength: float = 1.0) -> None:
    """Add light of a colour where the mask is."""
    light = Image.new("RGB", canvas.size)
    light.paste(colour, (0, 0, *canvas.size), curve(mask, lambda value: value * strength))
    canvas.paste(ImageChops.screen(canvas, light))


def shade(canvas: Image.Image, colour: str, mask: Image.Image, *, strength: float = 1.0) -> None:
    """Tint the canvas, as glass of that colour would, where the mask is."""
    glass = Image.new("RGB", canvas.size, "white")
    glass.paste(colour, (0, 0, *canvas.size), curve(mask, lambda value: value * strength))
    canvas.paste(ImageChops.multiply(canvas, glass))


def relief(texture: Image.Image, *, shift: tuple[int, int], strength: float = 1.0) -> Image.Image:
    """Light a height map from one side: grey where it is flat, brighter towards the light."""
    moved = texture.copy()
    moved.paste(texture, shift)
    slopes = ImageChops.subtract(texture, moved, scale=1 / strength, offset=128)
    return slopes.filter(ImageFilter.GaussianBlur(0.6))


def rugged(points: Sequence[Point], *, roughness: float, seed: int, times: int = 5) -> list[Point]:
    """Break a line into a natural one by moving the middle of every piece, again and again."""
    random, line = Random(seed), list(points)  # noqa: S311 -- no secret
    for _ in range(times):
        broken = [(start, _bent(start, end, roughness, random)) for start, end in pairwise(line)]
        line = [point for piece in broken for point in piece] + [line[-1]]
    return line


def _bent(start: Point, end: Point, roughness: float, random: Random) -> Point:
    reach = roughness * (abs(end[0] - start[0]) + abs(end[1] - start[1]))
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    return (middle[0] + random.uniform(-reach, reach), middle[1] + random.uniform(-reach, reach))
