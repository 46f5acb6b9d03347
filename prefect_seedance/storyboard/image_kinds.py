"""Name what bytes are that may not be an image which the model accepts."""

import re
from typing import Final, Literal, NamedTuple

from prefect_seedance.video.facts import MP3_SIGNATURES

HEAD_BYTES: Final = 4096
"""Bytes from the beginning that suffice to name most files."""

_CAMERA: Final = "a camera's RAW file"
_DOWNLOAD: Final = "download the image itself"


class Kind(NamedTuple):
    """What a file is.

    Attributes:
        name: With its article.
        remedy: What the author can do; empty to save it in another format.
        medium: What an author means it as: an image of a film, if it has a format of photographs; a video;
            or an audio file.
    """

    name: str
    remedy: str = ""
    medium: Literal["image", "video", "audio", ""] = ""

    @property
    def is_picture(self) -> bool:
        """Whether it has a format of photographs."""
        return self.medium == "image"


def _picture(name: str) -> Kind:
    return Kind(name, medium="image")


def _sound(name: str) -> Kind:
    return Kind(name, "list it under 'audios' of 'references', or name an image", medium="audio")


_VIDEO: Final = Kind(
    "a video", "export one frame of it as an image, or list it under 'videos' of 'references'", medium="video"
)
UNTYPED_VIDEO: Final = _VIDEO._replace(name="a QuickTime video without a file type")
"""Of an old camera or program. The API's formats begin with their type."""

_EMPTY: Final = Kind("an empty file", "copy or export it again")
_ZEROS: Final = Kind("a file of zeros, left by an incomplete copy", "copy or export it again")

_BOX: Final = rb"[\0-\x08].{3}"
"""The size that begins a file of boxes, such as an MP4; its first box has at most 150 MB. Text has no such
bytes."""

_MP3: Final = b"|".join(map(re.escape, MP3_SIGNATURES))

_SIGNATURES: Final[tuple[tuple[bytes, Kind], ...]] = (
    (rb"version https://git-lfs\.", Kind("a Git LFS pointer, not the image", "run 'git lfs pull'")),
    (
        rb"(?:\.\./)*(?:\.git|/)?/?annex/objects/",
        Kind("a git-annex pointer, not the image", "run 'git annex get'"),
    ),
    (rb"\xff\xd8\xff", _picture("a JPEG image")),
    (rb"\x89PNG\r\n\x1a\n", _picture("a PNG image")),
    (
        rb"\x89PNG",
        Kind("a PNG whose line ends were converted", "copy it again as a binary file", medium="image"),
    ),
    (rb"RIFF....WEBP", _picture("a WebP image")),
    (rb"GIF8[79]a", _picture("a GIF image")),
    (rb"BM.{4}\0\0\0\0", _picture("a BMP image")),
    (rb"(?:II\*\0|MM\0\*).{4}CR|IIR[OS]|MMOR|IIU\0|FUJIFILM", Kind(_CAMERA)),
    (_BOX + rb"ftypcrx", Kind(_CAMERA)),
    (rb"II[*+]\0|MM\0[*+]", _picture("a TIFF image or a camera's RAW file")),
    (_BOX + rb"ftypavi[fs]", _picture("an AVIF image")),
    (_BOX + rb"ftyp(?:mif1|msf1|miaf).{4}.*?avif", _picture("an AVIF image")),
    (
        _BOX + rb"ftyp(?:hei[cxms]|hev[cx]|mif1|msf1|miaf)",
        _picture("a HEIC image, as iPhones take them"),
    ),
    (_BOX + rb"ftypM4[AB] ", _sound("an M4A audio file")),
    (_BOX + rb"ftyp", _VIDEO),
    (_BOX + rb"(?:moov|mdat|wide|free|skip|pnot)", UNTYPED_VIDEO),
    (rb"\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]|FLV\x01", _VIDEO),
    (rb"RIFF....WAVE", _sound("a WAV audio file")),
    (_MP3, _sound("an MP3 audio file")),
    (rb"\xff[\xf0\xf1\xf8\xf9]|ADIF", _sound("an AAC audio file")),
    (rb"fLaC", _sound("a FLAC audio file")),
    (rb"OggS", _sound("an Ogg audio file")),
    (rb"FORM....AIF[FC]", _sound("an AIFF audio file")),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _sound("a Windows Media file")),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", _picture("a JPEG XL image")),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", _picture("a JPEG 2000 image")),
    (rb"\0\0[\x01\x02]\0", Kind("an icon")),
    (rb"8BPS", Kind("a Photoshop document (PSD)")),
    (rb"gimp xcf", Kind("a GIMP document (XCF)")),
    (rb"qoif", Kind("a QOI image")),
    (rb"v/1\x01", Kind("an OpenEXR image")),
    (rb"#\?RAD", Kind("a Radiance HDR image")),
    (rb"DDS ", Kind("a DDS image")),
    (rb"P[1-7]\s", Kind("a PPM image")),
    (rb"[\s\S]{0,1000}%PDF-", Kind("a PDF document")),
    (rb"%!PS|\xc5\xd0\xd3\xc6", Kind("a PostScript file")),
    (rb"PK\x03\x04", Kind("a ZIP archive, or a document that is one", "take the image out of it")),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", Kind("a compressed file", "unpack it")),
    (
        rb"\0\x05\x16\x07",
        Kind("an AppleDouble file, which has no image in it", "copy the file without '._' in its name"),
    ),
    (rb"(?:data:image/|iVBORw0KGgo|/9j/|UklGR)", Kind("an image in Base64, as text", "decode it")),
    (rb"\s*<(?i:svg|!doctype\s+svg)", Kind("an SVG drawing")),
    (rb"\s*<(?i:!doctype\s+html|html|head|body|title|meta|script)", Kind("a web page (HTML)", _DOWNLOAD)),
    (rb"\s*<[A-Za-z!?]", Kind("an XML document, such as a server's error", _DOWNLOAD)),
    (rb"\s*[{\[]", Kind("JSON, such as a server's error", _DOWNLOAD)),
)
_PATTERNS: Final = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in _SIGNATURES)
_MARKUP_PROLOGUE: Final = re.compile(rb"\s*(?:<!--.*?-->|<\?.*?\?>)", re.DOTALL)
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def kind_of(content: bytes) -> Kind | None:
    """Name a file by its first bytes; None if they are unknown.

    Args:
        content: The file, or its first `HEAD_BYTES`.
    """
    head = content[:HEAD_BYTES]
    if not head:
        return _EMPTY
    if not head.strip(b"\0"):
        return _ZEROS
    text = head.removeprefix(_BOMS[0])
    if head.startswith(_BOMS[1:]):
        text = head.decode("utf-16", "replace").encode()
    text = _MARKUP_PROLOGUE.sub(b"", text) if text.lstrip().startswith(b"<") else text
    found = next((kind for pattern, kind in _PATTERNS if pattern.match(text)), None)
    return found or (Kind("a text file", "name the image itself") if _is_text(text) else None)


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        return len(head) - 4 < error.start and len(head) >= HEAD_BYTES and _is_text(head[: error.start])
    return all(character.isprintable() or character.isspace() for character in text)
