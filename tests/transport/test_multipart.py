"""A file as multipart/form-data."""

from __future__ import annotations

import io
import tracemalloc
from email.parser import BytesParser
from email.policy import HTTP

import pytest

from airflow_provider_kaleyra.transport.multipart import MultipartFile, UnreadableFileError


def parts_of(body: MultipartFile) -> dict[str, tuple[str | None, str, bytes]]:
    """What a server reads: file name, type and content by field."""
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + b"".join(body))
    return {
        str(part.get_param("name", header="Content-Disposition")): (
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True).removesuffix(b"\n"),
        )
        for part in message.iter_parts()
    }


def test_the_body_has_the_fields_of_kaleyras_page():
    body = MultipartFile(io.BytesIO(b"\x00\xff video"), 8, "diwali.mp4", "video/mp4")
    parts = parts_of(body)
    assert parts == {
        "file": ("diwali.mp4", "video/mp4", b"\x00\xff video"),
        "type": (None, "text/plain", b"video/mp4"),
    }


@pytest.mark.parametrize("size", [0, 1, 16384, 65536, 65537, 200_000])
@pytest.mark.parametrize("reads", [1000, 16384, 1 << 20, -1])
def test_the_length_is_that_of_all_chunks(size, reads):
    body = MultipartFile(io.BytesIO(bytes(size)), size, "v.mp4", "video/mp4")
    pieces = list(iter(lambda: body.read(reads), b""))
    assert len(b"".join(pieces)) == len(body)
    assert reads < 0 or max(map(len, pieces)) <= reads


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ('a"\r\nX: y.mp4', "a___X__y.mp4"),
        ("दीपावली.mp4", "_______.mp4"),
        ("x" * 300 + ".mp4", "x" * 96 + ".mp4"),
        ("", "video"),
    ],
)
def test_a_file_name_cannot_forge_headers(name, safe):
    assert parts_of(MultipartFile(io.BytesIO(), 0, name, "video/mp4"))["file"][0] == safe


def test_the_body_records_whether_transmission_started():
    body = MultipartFile(io.BytesIO(b"x"), 1, "v.mp4", "video/mp4")
    assert not body.started
    body.read(1)
    assert body.started


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_file_that_became_shorter_is_an_error(content):
    with pytest.raises(UnreadableFileError, match="became shorter"):
        b"".join(MultipartFile(io.BytesIO(content), 6, "v.mp4", "video/mp4"))


def test_a_file_that_grew_is_sent_with_its_earlier_length():
    assert parts_of(MultipartFile(io.BytesIO(b"abcdef"), 3, "v.mp4", "video/mp4"))["file"][2] == b"abc"


def test_the_file_is_never_completely_in_memory(tmp_path):
    path = tmp_path / "v.mp4"
    size = 16 * 1024 * 1024
    with path.open("wb") as file:
        file.truncate(size)
    with path.open("rb") as file:
        body = MultipartFile(file, size, "v.mp4", "video/mp4")
        tracemalloc.start()
        try:
            while body.read(16384):
                pass
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 1024 * 1024
