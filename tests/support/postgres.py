"""PostgreSQL servers and pgbouncer of a test's own, and a proxy that loses the response to a COMMIT."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import trustme

OWNER = "postgres"
_PATIENCE = 30.0


def binary(name: str) -> str | None:
    """The path of one of PostgreSQL's programs or of pgbouncer."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _as_owner() -> dict[str, Any]:
    """How to start a program that root may not run."""
    owner = {"user": OWNER, "group": OWNER, "extra_groups": []} if os.geteuid() == 0 else {}
    return {"cwd": "/"} | owner


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kaleyra-postgres-") as name:
        if os.geteuid() == 0:
            shutil.chown(name, OWNER, OWNER)
        yield Path(name)


class Cluster:
    """A PostgreSQL server.

    :param ca: of its certificate; without one it offers no TLS.
    """

    def __init__(self, folder: Path, ca: trustme.CA | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        data = folder / "data"
        initdb = [binary("initdb"), "-D", str(data), "-U", OWNER, "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **_as_owner())
        rules = (data / "pg_hba.conf").read_text()
        (data / "pg_hba.conf").write_text(f"host all with_password 127.0.0.1/32 scram-sha-256\n{rules}")
        settings = ["fsync = off", "listen_addresses = '127.0.0.1'", f"unix_socket_directories = '{folder}'"]
        if ca is not None:
            issued = ca.issue_cert("127.0.0.1")
            issued.cert_chain_pems[0].write_to_path(data / "server.crt")
            issued.private_key_pem.write_to_path(data / "server.key")
            if os.geteuid() == 0:
                shutil.chown(data / "server.key", OWNER, OWNER)
            (data / "server.key").chmod(0o600)
            settings += ["ssl = on"]
        with (data / "postgresql.conf").open("a") as file:
            file.write("\n".join(settings) + "\n")

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                **_as_owner(),
            )
        until(self._responds, f"PostgreSQL does not start: {self.folder}/log")

    def stop(self) -> None:
        """End it at once, which is like a crash."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_PATIENCE)

    def restart(self) -> None:
        """Crash, and recover."""
        self.stop()
        self.start()

    def processes(self) -> list[psutil.Process]:
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        return [server, *server.children()]

    def run(self, statement: str, database: str = "postgres", **parameters: Any) -> list[tuple[Any, ...]]:
        """Execute over a connection of its own, and commit."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=OWNER, dbname=database, connect_timeout=5, **parameters
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def connection(self, database: str, **fields: Any) -> str:
        """An Airflow Connection to it, as JSON."""
        known = {"conn_type": "postgres", "host": "127.0.0.1", "port": self.port, "login": OWNER, "schema": database}
        return json.dumps(known | fields)

    def _responds(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with suppress(psycopg2.OperationalError):
            self.run("SELECT 1")
            return True
        return False


@contextmanager
def running_cluster(ca: trustme.CA | None = None) -> Iterator[Cluster]:
    with _folder() as folder:
        cluster = Cluster(folder, ca)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


@contextmanager
def running_pgbouncer(cluster: Cluster) -> Iterator[int]:
    """pgbouncer in transaction mode before *cluster*; its port."""
    with _folder() as folder:
        port = free_port()
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={cluster.port} user={OWNER}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 2\n"
        )
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [binary("pgbouncer"), str(settings)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, **_as_owner()
            )
        try:
            until(lambda: _listens(port, process), "pgbouncer does not start")
            yield port
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "pgbouncer has ended"
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def until(holds: Callable[[], bool], complaint: str, seconds: float = _PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)


class CommitLosingProxy:
    """A TCP proxy before PostgreSQL that cuts a connection at a COMMIT, when it is armed.

    :param forwards: whether the server still gets that COMMIT; its response is lost in any case.
    """

    def __init__(self, port: int, *, forwards: bool) -> None:
        self._target = ("127.0.0.1", port)
        self._forwards = forwards
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.armed = False
        self.cuts = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(_PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target, _PATIENCE)
            for work in (self._to_server, self._to_client):
                thread = threading.Thread(target=work, args=(client, server))
                thread.start()
                self._threads.append(thread)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.armed and b"COMMIT" in data:
                    self.armed = False
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)  # before the response can come
                    if self._forwards:
                        server.sendall(data)
                    break
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            with suppress(OSError):
                while data := server.recv(65536):
                    with suppress(OSError):
                        client.sendall(data)
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


@contextmanager
def losing_commits(port: int, *, forwards: bool) -> Iterator[CommitLosingProxy]:
    proxy = CommitLosingProxy(port, forwards=forwards)
    try:
        yield proxy
    finally:
        proxy.stop()
