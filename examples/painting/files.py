"""Save pictures small enough for a repository."""

from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

_ROUGH = 2
"""A picture whose neighbouring values differ by this much hides the steps of a palette."""


def save(picture: Image.Image, path: Path) -> None:
    """Save by the path's suffix, as a photograph or, for PNG, with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        _reduced(picture).save(path, optimize=True)
    elif path.suffix == ".webp":
        picture.save(path, quality=90, method=6)
    else:
        picture.save(path, quality=90, optimize=True, progressive=True)


def _reduced(picture: Image.Image) -> Image.Image:
    """Reduce to 256 colours, mixed by dots only where steps would show, for dots make a file large."""
    palette = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    dotted = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    plain = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    dotted.paste(plain, (0, 0), _rough_places(picture))
    return dotted


def _rough_places(picture: Image.Image) -> Image.Image:
    grey = picture.convert("L")
    detail = ImageChops.difference(grey, grey.filter(ImageFilter.GaussianBlur(3)))
    return detail.filter(ImageFilter.GaussianBlur(4)).point([0] * _ROUGH + [255] * (256 - _ROUGH))
