"""The light of four hours of one day."""

from dataclasses import dataclass

from painting.brushes import Point, Stops


@dataclass(frozen=True, kw_only=True)
class Hour:
    """What changes in the scene as the day goes on.

    Attributes:
        sky: From the top of the picture to the horizon.
        orb: Where the sun or the moon stands.
        orb_radius: In pixels of the finished picture.
        glow: The light around the orb, and how far it reaches.
        clouds: Colours of their lit and their shaded sides.
        cloud_cover: From 0 to 1.
        sea: From the horizon to the bottom, without what it mirrors.
        path: Colour and strength of the orb's path of light on the sea.
        ambient: What tints the land.
        key: The colour of the light that falls on the land, and its strength.
        haze: What the distance fades into.
        boat: Where the water meets it.
        lamp: How bright the lighthouse's lamp is.
        starry: Whether stars are out.
    """

    name: str
    sky: Stops
    orb: Point
    orb_radius: float
    orb_colour: str
    glow: tuple[str, float]
    clouds: tuple[str, str]
    cloud_cover: float
    sea: Stops
    path: tuple[str, float]
    ambient: str
    key: tuple[str, float]
    haze: str
    boat: Point = (0, 0)
    lamp: float = 0.0
    starry: bool = False


DAWN = Hour(
    name="dawn",
    sky=(
        (0.0, "#4a5f94"),
        (0.35, "#8c8fbd"),
        (0.62, "#d6a9b8"),
        (0.82, "#f7c4a6"),
        (1.0, "#ffe0b0"),
    ),
    orb=(520, 398),
    orb_radius=21,
    orb_colour="#fffbe6",
    glow=("#ffb46e", 420),
    clouds=("#ffd2bd", "#8a82ab"),
    cloud_cover=0.42,
    sea=((0.0, "#c9a7ae"), (0.25, "#7d83a6"), (1.0, "#2c416b")),
    path=("#ffd9a0", 0.95),
    ambient="#a79bb5",
    key=("#ffc890", 0.6),
    haze="#d9b3b8",
    boat=(168, 452),
    lamp=0.25,
)

NOON = Hour(
    name="noon",
    sky=((0.0, "#1f6fc4"), (0.4, "#4b9ade"), (0.8, "#a5d3f0"), (1.0, "#dceff6")),
    orb=(400, 92),
    orb_radius=26,
    orb_colour="#ffffff",
    glow=("#fff6d8", 360),
    clouds=("#ffffff", "#9fb4cb"),
    cloud_cover=0.5,
    sea=((0.0, "#7fb9d6"), (0.2, "#2f86b8"), (1.0, "#0c4a7c")),
    path=("#ffffff", 0.5),
    ambient="#ffffff",
    key=("#fff4d6", 0.35),
    haze="#c4deec",
    boat=(250, 462),
)

DUSK = Hour(
    name="dusk",
    sky=(
        (0.0, "#2a2350"),
        (0.3, "#5d3568"),
        (0.55, "#b5485f"),
        (0.78, "#ee7a45"),
        (1.0, "#ffc46b"),
    ),
    orb=(270, 404),
    orb_radius=28,
    orb_colour="#fff2c0",
    glow=("#ff7a33", 520),
    clouds=("#ff9a62", "#4c2b57"),
    cloud_cover=0.55,
    sea=((0.0, "#d9784f"), (0.22, "#7c3f5c"), (1.0, "#1e1b3f")),
    path=("#ffb055", 1.0),
    ambient="#7d5f80",
    key=("#ff9a55", 0.75),
    haze="#c56a5c",
    boat=(392, 456),
    lamp=0.7,
)

NIGHT = Hour(
    name="night",
    sky=((0.0, "#040818"), (0.45, "#0a1738"), (0.8, "#172c56"), (1.0, "#2a4470")),
    orb=(318, 258),
    orb_radius=25,
    orb_colour="#f2f1e4",
    glow=("#8fa9d8", 330),
    clouds=("#5a6d96", "#121c38"),
    cloud_cover=0.34,
    sea=((0.0, "#27406a"), (0.25, "#12264c"), (1.0, "#050c20")),
    path=("#cfdcf5", 0.6),
    ambient="#2c3c66",
    key=("#9db6e6", 0.22),
    haze="#22375f",
    lamp=1.0,
    starry=True,
)
