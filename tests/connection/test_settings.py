from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_kaleyra.connection.settings import ConnectionSettings, read_connection
from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.whatsapp.account import Account

FIELDS = {"conn_id": "kaleyra_default", "conn_type": "kaleyra", "login": "HXAP16XXXXXX97IN", "password": "a-key"}


def connection(extra: object = None, **fields: object) -> Connection:
    text = extra if isinstance(extra, str) or extra is None else json.dumps(extra)
    return Connection(**FIELDS | {"extra": text} | fields)


def read(connection: Connection) -> ConnectionSettings:
    return read_connection("kaleyra_default", lambda conn_id: connection)


def test_login_and_password_are_enough():
    settings = read(connection())
    assert settings.account.sid == "HXAP16XXXXXX97IN"
    assert settings.account.api_key.reveal() == "a-key"
    assert settings.account.base_url == "https://api.in.kaleyra.io"
    assert settings.account.business_phone_number is None
    assert settings.timeout == 30


@pytest.mark.parametrize(
    ("pod", "url"),
    [
        ("in", "https://api.in.kaleyra.io"),
        (" SG ", "https://api.ap.kaleyra.io"),
        ("eu", "https://api.eu.kaleyra.io"),
        ("na", "https://api.na.kaleyra.ai"),
        ("", "https://api.in.kaleyra.io"),
        (None, "https://api.in.kaleyra.io"),
    ],
)
def test_the_pod_names_the_api_domain(pod, url):
    assert read(connection({"pod": pod})).account.base_url == url


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "api.kaleyra.io"}, "https://api.kaleyra.io"),
        ({"host": " https://api.kaleyra.io/ "}, "https://api.kaleyra.io"),
        ({"host": "api.kaleyra.io", "port": 0}, "https://api.kaleyra.io"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8089}, "http://127.0.0.1:8089"),
        ({"host": "http://127.0.0.1", "port": 8089}, "http://127.0.0.1:8089"),
        ({"host": "http://127.0.0.1:8089"}, "http://127.0.0.1:8089"),
        ({"host": "http://127.0.0.1:8089", "port": 8089}, "http://127.0.0.1:8089"),
        ({"host": "http://[::1]:8089"}, "http://[::1]:8089"),
        ({"host": "  ", "schema": "", "port": 0}, "https://api.in.kaleyra.io"),
        ({"host": "", "port": 443}, "https://api.in.kaleyra.io"),
    ],
)
def test_the_host_overrides_the_pod(fields, url):
    assert read(connection({"pod": "in"}, **fields)).account.base_url == url


@pytest.mark.parametrize("timeout", [2.5, "2.5", " 2.5 "])
def test_the_timeout_is_a_number_of_seconds(timeout):
    assert read(connection({"timeout": timeout})).timeout == 2.5


@pytest.mark.parametrize("extra", ["", "  ", "{}", '{"timeout": " ", "pod": "", "business_phone_number": ""}'])
def test_blank_extras_are_ignored(extra):
    assert read(connection(extra)) == read(connection())


def test_unknown_extras_are_ignored():
    known = {"business_phone_number": "+12025550100"}
    more = known | {"headers": {"X": "y"}, "verify": False, "base_url": "http://elsewhere"}
    assert read(connection(more)) == read(connection(known))


@pytest.mark.parametrize(
    ("fields", "extra", "to_fix", "found"),
    [
        ({"login": None}, None, "login (Account SID)", "nothing"),
        ({"login": " "}, None, "login (Account SID)", "nothing"),
        ({"login": "a/b"}, None, "login (Account SID)", "a/b"),
        ({"password": None}, None, "password (API key)", "nothing"),
        ({"password": "***"}, None, "password (API key)", "asterisks"),
        ({}, {"pod": "us"}, "extra 'pod'", "'us'"),
        ({}, {"pod": 3.5}, "extra 'pod'", "float"),
        ({}, {"timeout": 0}, "extra 'timeout'", "'0'"),
        ({}, {"timeout": -1}, "extra 'timeout'", "'-1'"),
        ({}, {"timeout": "soon"}, "extra 'timeout'", "'soon'"),
        ({}, {"timeout": True}, "extra 'timeout'", "'True'"),
        ({}, {"timeout": [1]}, "extra 'timeout'", "[1]"),
        ({}, '{"timeout": NaN}', "extra 'timeout'", "'nan'"),
        ({}, '{"timeout": Infinity}', "extra 'timeout'", "'inf'"),
        ({}, {"business_phone_number": "12025550100"}, "extra 'business_phone_number'", "no leading '+'"),
        ({}, {"business_phone_number": "None"}, "extra 'business_phone_number'", "missing value"),
        ({"host": "http://api.in.kaleyra.io"}, None, "host", "http://api.in.kaleyra.io"),
        ({"host": "127.0.0.1", "schema": "ftp"}, None, "host", "ftp"),
    ],
)
def test_a_bad_field_is_named_with_what_it_holds(fields, extra, to_fix, found):
    with pytest.raises(KaleyraConfigError) as error:
        read(connection(extra, **fields))
    text = str(error.value)
    assert text.startswith(f"Connection 'kaleyra_default' cannot be used: its {to_fix}")
    assert found in text
    assert "a-key" not in text


@pytest.mark.parametrize(
    ("extra", "fields"),
    [
        ({"timeout": "A0123456789abcdef"}, {}),
        ({"pod": "A0123456789abcdef"}, {}),
        ({"business_phone_number": "A0123456789abcdef"}, {}),
        ({}, {"login": "of A0123456789abcdef"}),
        ({}, {"host": "http://A0123456789abcdef"}),
        ({}, {"host": "A0123456789abcdef@api"}),
    ],
)
def test_a_key_that_was_pasted_into_another_field_is_not_shown(extra, fields):
    with pytest.raises(KaleyraConfigError) as error:
        read(connection(extra, password="A0123456789abcdef", **fields))
    assert "0123456789" not in str(error.value)


@pytest.mark.parametrize("extra", ["not json", "[1]", '"text"', "[" * 100_000])
def test_an_extra_that_is_not_a_json_object_is_reported(extra):
    class FromASecretsBackend:
        conn_id, conn_type, login, password, host, schema, port = "c", "kaleyra", "S", "k", None, None, None

    FromASecretsBackend.extra = extra
    with pytest.raises(KaleyraConfigError, match="its extra must be a JSON object"):
        read(FromASecretsBackend())


URI = "kaleyra://HXAP16XXXXXX97IN:a-key@http%3A%2F%2F127.0.0.1%3A8089?pod=eu&business_phone_number=%2B12025550100&timeout=5"
JSON = {
    "conn_type": "kaleyra",
    "login": "HXAP16XXXXXX97IN",
    "password": "a-key",
    "host": "http://127.0.0.1:8089",
    "extra": {"pod": "eu", "business_phone_number": "+12025550100", "timeout": 5},
}
AS_THE_FORM_STORES_IT = JSON | {
    "schema": "",
    "port": 0,
    "extra": json.dumps(
        {"pod": "eu", "business_phone_number": "+12025550100", "timeout": 5, "other": "", "null": None}
    ),
}


def in_a_local_file(folder: Path, connection: object) -> dict[str, str]:
    """Airflow's own secrets backend that reads a file."""
    file = folder / "connections.json"
    file.write_text(json.dumps({"kaleyra_default": connection}))
    return {
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(file)}),
    }


@pytest.mark.parametrize(
    "configured",
    [
        lambda folder: {"AIRFLOW_CONN_KALEYRA_DEFAULT": URI},
        lambda folder: {
            "AIRFLOW_CONN_KALEYRA_DEFAULT": URI.replace("http%3A%2F%2F127.0.0.1%3A8089", "127.0.0.1:8089/http")
        },
        lambda folder: {"AIRFLOW_CONN_KALEYRA_DEFAULT": json.dumps(JSON)},
        lambda folder: {"AIRFLOW_CONN_KALEYRA_DEFAULT": json.dumps(AS_THE_FORM_STORES_IT)},
        lambda folder: in_a_local_file(folder, URI),
        lambda folder: in_a_local_file(folder, JSON),
    ],
    ids=["URI", "URI with port and scheme", "JSON", "as the form stores it", "a file's URI", "a file's JSON"],
)
def test_however_it_is_configured_it_is_the_same_connection(tmp_path, configured):
    program = """
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
settings = KaleyraHook().settings
print(settings.account, settings.account.api_key.reveal(), settings.timeout)
"""
    # The settings of the secrets backends are read once a process.
    process = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | configured(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    account = Account(
        sid="HXAP16XXXXXX97IN",
        api_key="a-key",
        base_url="http://127.0.0.1:8089",
        business_phone_number="+12025550100",
    )
    assert process.stdout.splitlines()[-1:] == [f"{account} a-key 5.0"], process.stderr
