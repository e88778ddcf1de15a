from __future__ import annotations

import os

import pytest

from airflow_provider_kaleyra.campaign import recipients as module
from airflow_provider_kaleyra.campaign.readers import Row
from airflow_provider_kaleyra.campaign.recipients import count_of, rows_of
from airflow_provider_kaleyra.exceptions import KaleyraFileError, KaleyraUnusableFileError

CSV = b"to,name\n+12025550123,Asha\n+12025550124,Ravi\n"
ROWS = [Row(2, {"to": "+12025550123", "name": "Asha"}), Row(3, {"to": "+12025550124", "name": "Ravi"})]


def read(recipients: object) -> list[Row]:
    with rows_of(recipients) as rows:
        return list(rows)


def test_a_file_is_read_by_path_and_by_url(tmp_path, monkeypatch):
    path = tmp_path / "people.csv"
    path.write_bytes(CSV)
    monkeypatch.chdir(tmp_path)
    for recipients in (path, str(path), f"file://{path}", "people.csv", " people.csv\n"):
        assert read(recipients) == ROWS


def test_a_file_in_an_object_store_is_read(bucket):
    bucket.put("in/people.csv", CSV)
    bucket.put("in/people.jsonl", b'"+12025550123"\n{"to": "+12025550124"}\n')
    assert read(bucket.url("in/people.csv")) == ROWS
    assert [row.columns["to"] for row in read(bucket.url("in/people.jsonl"))] == ["+12025550123", "+12025550124"]


def test_a_file_larger_than_what_is_read_at_once_is_read_to_its_end(bucket):
    count = 200_000
    bucket.put("people.csv", b"to\n" + b"".join(b"+1202%07d\n" % index for index in range(count)))
    with rows_of(bucket.url("people.csv")) as rows:
        assert sum(1 for _ in rows) == count


@pytest.mark.parametrize(
    ("name", "cause"),
    [("gone.csv", "there is no file"), ("folder.csv", "is a folder"), ("taken.csv", "no permission to read")],
)
def test_what_cannot_be_read_is_named(tmp_path, name, cause, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "taken.csv").write_bytes(CSV)
    if name == "taken.csv":
        if os.getuid() == 0:  # whom no permission stops
            monkeypatch.setattr("fsspec.implementations.local.LocalFileOpener._open", _denied)
        (tmp_path / "taken.csv").chmod(0)
    with pytest.raises(KaleyraUnusableFileError, match=f"The recipients cannot be read: .*{cause}") as raised:
        read(f"file://{tmp_path}/{name}")
    assert name in str(raised.value)


def _denied(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_missing_bucket_and_a_missing_key_are_named(bucket):
    with pytest.raises(KaleyraUnusableFileError, match=r"there is no bucket for .*no-bucket/people\.csv'"):
        read("s3://store@no-bucket/people.csv")
    with pytest.raises(KaleyraUnusableFileError, match="there is no file"):
        read(bucket.url("people.csv"))


def test_a_store_that_is_out_of_reach_is_worth_a_retry(s3, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_UNREACHABLE", s3.connection(url="http://127.0.0.1:1"))
    with pytest.raises(
        KaleyraFileError, match=r"The recipients cannot be read: reading failed .* for 's3://unreachable@b/p\.csv'"
    ):
        read("s3://unreachable@b/p.csv")


def test_a_store_that_fails_half_way_is_worth_a_retry(tmp_path, monkeypatch):
    def breaks_off(file):
        yield ROWS[0]
        raise ConnectionResetError("reset by peer")

    path = tmp_path / "people.csv"
    path.write_bytes(CSV)
    monkeypatch.setitem(module._FORMATS, ".csv", breaks_off)
    with rows_of(str(path)) as rows:
        assert next(rows) == ROWS[0]
        with pytest.raises(KaleyraFileError, match="ConnectionResetError: reset by peer"):
            next(rows)


def test_how_many_there_are_is_known_of_lists_alone():
    assert [count_of(recipients) for recipients in (["+1", "+2"], ("+1",), "people.csv", iter(["+1"]))] == [
        2,
        1,
        None,
        None,
    ]
