"""Check of a video file's content against the rules of WhatsApp.

The rules are those of Meta's page "Supported media types": MP4 or 3GPP, at most 16 MB. Codecs are not checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadAt = Callable[[int, int], bytes]

MP4, THREE_GPP = "video/mp4", "video/3gpp"

# Meta's "16 MB" can mean either. The larger one is the limit, so that no file is rejected here that WhatsApp would
# accept; a file between the two gets a warning.
MAX_SIZE = 16 * 1024 * 1024
CERTAIN_SIZE = 16_000_000

_RULE = "a video, MP4 or 3GPP by its content"
_MP4_BRANDS = frozenset(
    [b"M4V ", *b"isom iso2 iso3 iso4 iso5 iso6 iso7 iso8 iso9 mp41 mp42 mp71 avc1 dash mmp4 MSNV M4VH M4VP".split()]
)
_THREE_GPP_BRANDS = (b"3gp", b"3gr", b"3gs", b"3ge", b"3gh", b"3gf", b"3gg")
# Formats related to MP4 that have its brands, too, and that WhatsApp does not accept as a video.
_OTHERS_BY_BRAND = {
    b"qt  ": "a QuickTime movie",
    b"M4A ": "MPEG-4 audio",
    b"M4B ": "an MPEG-4 audio book",
    b"heic": "a HEIC image",
    b"heix": "a HEIC image",
    b"mif1": "a HEIF image",
    b"msf1": "a HEIF image sequence",
    b"avif": "an AVIF image",
    b"avis": "an AVIF image sequence",
}
_OTHERS_BY_START = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x1aE\xdf\xa3": "a WebM or Matroska video",
    b"RIFF": "an AVI video or a WebP image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"<": "a text in HTML or XML",
}


@dataclass(frozen=True, kw_only=True)
class VideoFile:
    """A file that passed the checks for a WhatsApp video.

    :param mime_type: the MIME type of the content.
    :param size: the size in bytes.
    :param warnings: sentences about properties that WhatsApp accepts but that are probably a mistake.
    """

    mime_type: str
    size: int
    warnings: tuple[str, ...] = ()


def inspect(file: str, size: int, read_at: ReadAt) -> VideoFile:
    """Check a video file, and return its properties.

    :param file: the name of the file in errors and warnings.
    :param size: the size of the file in bytes.
    :param read_at: function of a position and a length that returns the bytes of the file there.
    :raises BrokenRule: the file is no video that WhatsApp accepts, or is incomplete.
    """
    if size == 0:
        raise BrokenRule(file, _RULE, "an empty file")
    if size > MAX_SIZE:
        raise BrokenRule(file, f"at most {MAX_SIZE:,} bytes (Meta's 16 MB)", f"{size:,} bytes")
    mime_type = _type_of(file, read_at)
    positions = _boxes(file, size, read_at)
    for box, content in ((b"moov", "the index that players need"), (b"mdat", "pictures and sound")):
        if box not in positions:
            raise BrokenRule(
                file,
                "a complete video",
                f"one without its {box.decode()} box ({content}): it was cut short, or is still being written",
            )
    return VideoFile(mime_type=mime_type, size=size, warnings=tuple(_warnings(file, size, positions)))


def _warnings(file: str, size: int, positions: dict[bytes, int]) -> list[str]:
    warnings = []
    if positions[b"moov"] > positions[b"mdat"]:
        warnings.append(
            f"{file} starts slowly on phones: its moov box comes after its mdat box. "
            "To fix it, run: ffmpeg -i in.mp4 -c copy -movflags +faststart out.mp4"
        )
    if size > CERTAIN_SIZE:
        warnings.append(
            f"{file} has {size:,} bytes, which is within 16 MB only if Meta counts 1,048,576 bytes as a MB."
        )
    return warnings


def _type_of(file: str, read_at: ReadAt) -> str:
    start = read_at(0, 64)
    if start[4:8] != b"ftyp":
        for magic, name in _OTHERS_BY_START.items():
            if start.startswith(magic):
                raise BrokenRule(file, _RULE, name)
        raise BrokenRule(file, _RULE, f"a file that begins with the bytes {start[:12].hex(' ')}")
    length = int.from_bytes(start[:4], "big")
    major = start[8:12]
    compatible = [start[at : at + 4] for at in range(16, min(length, len(start)) - 3, 4)]
    if major.startswith(_THREE_GPP_BRANDS):
        return THREE_GPP
    if major in _OTHERS_BY_BRAND:
        raise BrokenRule(file, _RULE, _OTHERS_BY_BRAND[major])
    if not _MP4_BRANDS.isdisjoint({major, *compatible}):
        return MP4
    if any(brand.startswith(_THREE_GPP_BRANDS) for brand in compatible):
        return THREE_GPP
    raise BrokenRule(file, _RULE, f"a file of the unknown brand {major!r}")


def _boxes(file: str, size: int, read_at: ReadAt) -> dict[bytes, int]:
    """Return the position of the first box of each kind."""
    positions: dict[bytes, int] = {}
    at = 0
    while size - at >= 8:
        header = read_at(at, 16)
        length, kind, header_size = int.from_bytes(header[:4], "big"), header[4:8], 8
        if length == 1:
            length, header_size = int.from_bytes(header[8:16], "big"), 16
        elif length == 0:  # the box extends to the end of the file
            length = size - at
        if length < header_size:
            raise BrokenRule(file, "a complete video", f"a damaged one: its box at byte {at:,} has an invalid length")
        if at + length > size:
            raise BrokenRule(
                file,
                "a complete video",
                f"one that was cut short, or is still being written: its {_name(kind)} box needs "
                f"{at + length - size:,} bytes more",
            )
        positions.setdefault(kind, at)
        at += length
    return positions


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace") if kind.isalnum() else repr(kind)
