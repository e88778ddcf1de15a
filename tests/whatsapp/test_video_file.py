"""The check of a video file's content."""

from __future__ import annotations

import pytest

from airflow_provider_kaleyra.whatsapp.validation import BrokenRule
from airflow_provider_kaleyra.whatsapp.video_file import CERTAIN_SIZE, MAX_SIZE, VideoFile, inspect
from tests.support.video import FFMPEG, box, mp4, mp4_by_ffmpeg

PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)


def inspected(content: bytes) -> VideoFile:
    return inspect("'v.mp4'", len(content), lambda at, length: content[at : at + length])


def with_brands(major: bytes, *compatible: bytes) -> bytes:
    return box(b"ftyp", major, bytes(4), *compatible) + box(b"moov", b"x") + box(b"mdat", b"x")


@pytest.mark.parametrize(
    ("content", "mime_type"),
    [
        (mp4(), "video/mp4"),
        (mp4(brand=b"3gp5"), "video/3gpp"),
        (with_brands(b"mp42"), "video/mp4"),
        (with_brands(b"M4V ", b"M4A "), "video/mp4"),
        (with_brands(b"XAVC", b"mp42"), "video/mp4"),
        (with_brands(b"XXXX", b"3gp4"), "video/3gpp"),
    ],
)
def test_the_brand_determines_the_mime_type(content, mime_type):
    assert inspected(content).mime_type == mime_type


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
def test_a_video_of_ffmpeg_is_accepted(tmp_path):
    video = inspected(mp4_by_ffmpeg(tmp_path / "v.mp4").read_bytes())
    assert (video.mime_type, video.warnings) == ("video/mp4", ())


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "found an empty file"),
        (mp4(size=17_000_000), "at most 16,777,216 bytes (Meta's 16 MB); found 17,000,000 bytes"),
        (mp4(size=MAX_SIZE + 1), "found 16,777,217 bytes"),
        (PNG, "found a PNG image"),
        (b"\xff\xd8\xff\xe0", "found a JPEG image"),
        (b"\x1aE\xdf\xa3" + bytes(99), "found a WebM or Matroska video"),
        (b"<html>404</html>", "found a text in HTML or XML"),
        (b"hello", "begins with the bytes 68 65 6c 6c 6f"),
        (with_brands(b"qt  ", b"isom"), "found a QuickTime movie"),
        (with_brands(b"heic", b"mif1", b"iso8"), "found a HEIC image"),
        (with_brands(b"M4A ", b"mp42"), "found MPEG-4 audio"),
        (with_brands(b"XXXX"), "unknown brand b'XXXX'"),
        (mp4()[:-1000], "cut short, or is still being written: its mdat box needs 1,000 bytes more"),
        (mp4(moov_first=False)[:-1], "its moov box needs 1 bytes more"),
        (mp4()[:28], "without its moov box"),
        (box(b"ftyp", b"isom", bytes(4)) + box(b"moov", b"x"), "without its mdat box"),
        (mp4() + b"\x00\x00\x00\x07free", "a damaged one"),
        (mp4() + b"\x00\x00\x00\x01free" + bytes(8), "a damaged one"),
    ],
)
def test_any_other_file_is_rejected_with_its_type(content, found):
    with pytest.raises(BrokenRule) as raised:
        inspected(content)
    assert str(raised.value).startswith("'v.mp4' must be ")
    assert found in str(raised.value)


@pytest.mark.parametrize("cut", range(0, len(mp4()) - 1, 4099))
def test_a_video_that_was_cut_is_never_accepted(cut):
    with pytest.raises(BrokenRule):
        inspected(mp4()[:cut])


@pytest.mark.parametrize(
    "content",
    [
        mp4() + b"\x00\x00\x00\x00free" + bytes(99),  # a box to the end of the file
        mp4() + b"\x00\x00\x00\x01free" + (24).to_bytes(8, "big") + bytes(8),  # a length of 64 bits
        mp4() + b"tail",
    ],
)
def test_other_encodings_of_a_length_are_understood(content):
    assert inspected(content).size == len(content)


def test_moov_after_mdat_is_a_warning():
    (warning,) = inspected(mp4(moov_first=False)).warnings
    assert "starts slowly on phones" in warning
    assert "faststart" in warning
    assert inspected(mp4()).warnings == ()


def test_a_size_between_the_two_meanings_of_16_mb_is_a_warning():
    assert inspected(mp4(size=CERTAIN_SIZE)).warnings == ()
    (warning,) = inspected(mp4(size=MAX_SIZE)).warnings
    assert "16,777,216 bytes" in warning
