"""Create playable videos without an encoder: MP4 files with uncompressed H.264 frames."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FFMPEG = shutil.which("ffmpeg")
SIZE = (128, 96)
FRAMES, FRAMES_PER_SECOND = 10, 5

# Baseline profile, level 1, 8 by 6 macroblocks of raw samples (I_PCM).
_SPS, _PPS = bytes.fromhex("6742000af841a2"), bytes.fromhex("68ce3880")
_I_PCM = "000011010"


def mp4(*, size: int | None = None, brand: bytes = b"isom", moov_first: bool = True) -> bytes:
    """Return a video of two seconds that gets brighter.

    :param size: size of the file in bytes; a free box fills it up.
    :param brand: major brand in the ftyp box.
    :param moov_first: whether the moov box is before the mdat box.
    """
    frames = b"".join(struct.pack(">I", len(one)) + one for one in map(_frame, range(FRAMES)))
    ftyp = box(b"ftyp", brand, bytes(4), b"isom", b"avc1")
    mdat = box(b"mdat", frames)
    moov_length = len(_moov(0))
    before = ftyp + (_moov(len(ftyp) + moov_length + 8) if moov_first else b"")
    content = before + mdat + (b"" if moov_first else _moov(len(ftyp) + 8))
    if size is not None:
        content += box(b"free", bytes(size - len(content) - 8))
    return content


def mp4_by_ffmpeg(path: Path) -> Path:
    """Create a typical video with sound, in H.264 and AAC, and return its path."""
    assert FFMPEG is not None
    pictures = ["-f", "lavfi", "-i", "testsrc=duration=2:size=320x180:rate=25"]
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2"]
    options = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart"]
    subprocess.run([FFMPEG, "-v", "error", "-y", *pictures, *sound, *options, str(path)], check=True)
    return path


def box(kind: bytes, *content: bytes) -> bytes:
    """Return one box of an MP4 file."""
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def _frame(number: int) -> bytes:
    """Return one IDR frame. Consecutive frames must differ in their idr_pic_id."""
    idr_pic_id = ("1", "010")[number % 2]
    header = "1" + "0001000" + "1" + "0000" + idr_pic_id + "0000" + "00" + "1"
    samples = bytes([60 + 15 * number]) * 256 + b"\x80" * 128
    return b"\x65" + _bits(header + _I_PCM) + samples + (_bits(_I_PCM) + samples) * 47 + b"\x80"


def _bits(bits: str) -> bytes:
    return bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))


def _full(kind: bytes, flags: int, layout: str, *values: int | bytes) -> bytes:
    return box(kind, struct.pack(">I", flags), struct.pack(">" + layout, *values))


def _moov(first_frame: int) -> bytes:
    width, height = SIZE
    scale, duration = 1000, FRAMES * 1000 // FRAMES_PER_SECOND
    matrix = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    avcc = box(b"avcC", b"\x01\x42\x00\x0a\xff\xe1", struct.pack(">H", len(_SPS)), _SPS, b"\x01")
    avcc = box(b"avcC", avcc[8:], struct.pack(">H", len(_PPS)), _PPS)
    avc1 = box(
        b"avc1",
        struct.pack(">6xH16xHHIIIH32sHh", 1, width, height, 72 << 16, 72 << 16, 0, 1, b"", 24, -1),
        avcc,
    )
    sizes = [len(_frame(number)) + 4 for number in range(FRAMES)]
    stbl = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), avc1),
        _full(b"stts", 0, "III", 1, FRAMES, scale // FRAMES_PER_SECOND),
        _full(b"stsc", 0, "IIII", 1, 1, FRAMES, 1),
        _full(b"stsz", 0, f"II{FRAMES}I", 0, FRAMES, *sizes),
        _full(b"stco", 0, "II", 1, first_frame),
    )
    minf = box(
        b"minf",
        _full(b"vmhd", 1, "8x"),
        box(b"dinf", box(b"dref", struct.pack(">II", 0, 1), _full(b"url ", 1, ""))),
        stbl,
    )
    mdia = box(
        b"mdia",
        _full(b"mdhd", 0, "IIIIHH", 0, 0, scale, duration, 0x55C4, 0),
        _full(b"hdlr", 0, "I4s12sx", 0, b"vide", b""),
        minf,
    )
    tkhd = _full(b"tkhd", 3, "IIIII8xHHHH36sII", 0, 0, 1, 0, duration, 0, 0, 0, 0, matrix, width << 16, height << 16)
    mvhd = _full(b"mvhd", 0, "IIIIIH10x36s24xI", 0, 0, scale, duration, 1 << 16, 1 << 8, matrix, 2)
    return box(b"moov", mvhd, box(b"trak", tkhd, mdia))
