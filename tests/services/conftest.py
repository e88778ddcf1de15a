"""PostgreSQL, pgbouncer and Redis of this machine; without one its tests are skipped, but in CI they fail."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trustme

from tests.support.postgres import Cluster, binary, running_cluster, running_pgbouncer

POSTGRES = ("127.0.0.1", 5432, "postgres")
REDIS = ("127.0.0.1", 6379)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/services/" in item.path.as_posix():
            item.add_marker("services")


@pytest.fixture
def postgres() -> Iterator[str]:
    """An empty database of its own, as SQLAlchemy's URL."""
    psycopg2 = _or_do_without("psycopg2", "psycopg2 is not installed")
    host, port, user = POSTGRES
    try:
        server = psycopg2.connect(host=host, port=port, user=user, dbname="postgres", connect_timeout=5)
    except psycopg2.OperationalError as error:
        _do_without(f"PostgreSQL: {error}")
    server.autocommit = True
    name = f"kaleyra_test_{secrets.token_hex(6)}"
    with server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield f"postgresql+psycopg2://{user}@{host}:{port}/{name}"
    with server.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    server.close()


@dataclass(frozen=True)
class Broker:
    """Redis, as Celery takes it.

    :param prefix: which all keys of the test start with.
    """

    url: str
    prefix: str


@pytest.fixture
def redis_broker() -> Iterator[Broker]:
    """A broker whose keys all have a prefix of their own, and are deleted afterwards."""
    redis = _or_do_without("redis", "the package redis is not installed")
    host, port = REDIS
    client = redis.Redis(host=host, port=port, db=5, socket_connect_timeout=5)
    try:
        client.ping()
    except redis.exceptions.ConnectionError as error:
        _do_without(f"Redis: {error}")
    broker = Broker(f"redis://{host}:{port}/5", f"kaleyra_test_{secrets.token_hex(6)}:")
    yield broker
    for key in client.scan_iter(f"{broker.prefix}*"):
        client.delete(key)
    client.close()


def _or_do_without(module: str, reason: str):
    if os.environ.get("CI") == "true":
        return __import__(module)
    return pytest.importorskip(module, reason=reason)


def _do_without(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def with_tls(authority: trustme.CA) -> Iterator[Cluster]:
    """A PostgreSQL server that offers TLS."""
    _require_program("initdb")
    with running_cluster(authority) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def without_tls() -> Iterator[Cluster]:
    """A PostgreSQL server that offers no TLS, and that a test may restart."""
    _require_program("initdb")
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def pgbouncer(without_tls: Cluster) -> Iterator[int]:
    """pgbouncer's port, in transaction mode."""
    _require_program("pgbouncer")
    with running_pgbouncer(without_tls) as port:
        yield port


@pytest.fixture
def database(without_tls: Cluster) -> str:
    """An empty database on the server without TLS."""
    return _emptied(without_tls)


@pytest.fixture
def database_with_tls(with_tls: Cluster) -> str:
    """An empty database on the server with TLS."""
    return _emptied(with_tls)


def _emptied(cluster: Cluster) -> str:
    """Its one database: a new one for each test would copy thousands of files."""
    cluster.run("DROP SCHEMA IF EXISTS marketing CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    cluster.run("GRANT USAGE ON SCHEMA public TO public")
    return "postgres"


def _require_program(name: str) -> None:
    if binary(name) is None:
        _do_without(f"the program {name} is not installed")
