"""One task's access to the ledger's database: one connection, and transactions with time limits and retries."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_kaleyra.ledger.database_errors import Failure, failure_of, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_kaleyra.exceptions import KaleyraError

#: Seconds between attempts, about a minute in all: as long as a failover takes.
WAITS = (0.5, 1.0, 2.0, 4.0, *[8.0] * 7)
_LONGEST_WAIT_WHEN_FAILING_FAST = 1.0
_WATCH_EVERY = 0.5
_POLL_EVERY = 0.1

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the database may take, in seconds.

    :param patience: time after which no other attempt starts.
    :param transaction: limit of one attempt, whatever the server does.
    :param statement: limit of one statement, which PostgreSQL enforces.
    :param lock: limit of the wait for a lock that another transaction holds.
    """

    patience: float
    transaction: float
    statement: float
    lock: float


NORMAL = Limits(patience=60.0, transaction=20.0, statement=15.0, lock=10.0)
#: While the task is being ended, which must take less than 30 seconds in all.
FAST_LIMITS = Limits(patience=5.0, transaction=8.0, statement=6.0, lock=5.0)

# For one transaction, because pgbouncer may give the next one another of the server's connections.
_TIMEOUTS = {"lock_timeout": "lock", "statement_timeout": "statement"}
# SQLAlchemy logs a server's notices, which may quote rows: a trigger's, for example.
_NO_NOTICES = "SET LOCAL client_min_messages = error"


class Database:
    """A database, used over one connection and from one thread.

    :param engine: engine of a PostgreSQL or SQLite database.
    :param sleep: function that waits between attempts; without one, :meth:`fail_fast` ends the wait.
    """

    def __init__(self, engine: sa.engine.Engine, sleep: Callable[[float], None] | None = None) -> None:
        if engine.dialect.name == "postgresql":
            # At a higher level, which a role can have as its default, a transaction that waited for another task's
            # does not see what that one committed.
            engine = engine.execution_options(isolation_level="READ COMMITTED")
        self.engine = engine
        self.sleep = sleep or self._wait
        self._connection: sa.engine.Connection | None = None
        self._unset: list[str] | None = None
        self._is_failing_fast = False
        self._watch = Watch()
        # Before SQLAlchemy's own listeners, because those query the server.
        sa.event.listen(engine, "connect", self._watch.attach, insert=True)

    @property
    def _limits(self) -> Limits:
        return FAST_LIMITS if self._is_failing_fast else NORMAL

    def fail_fast(self) -> None:
        """Give up on a database that fails within seconds from now on; may be called from any thread.

        It takes no lock, not even an event's, because a signal handler may interrupt the very call that holds it.
        """
        self._is_failing_fast = True
        self._watch.shorten(FAST_LIMITS.transaction)

    def transaction(
        self, work: Callable[[sa.engine.Connection], _T], error_for: Callable[[Failure], KaleyraError]
    ) -> _T:
        """Do *work* and commit; if the database fails, repeat it over a new connection, for about a minute.

        *work* must be safe to repeat: a commit whose response was lost may have succeeded.

        :param error_for: builds the error to raise when the database keeps failing, or fails in a way that does not
            pass.
        """
        started = time.monotonic()
        for wait in (*WAITS, None):
            try:
                return self._attempt(work)
            except SQLAlchemyError as error:
                failure = self._failure(error)
            except OSError as error:  # no file descriptor is left
                failure = Failure(quoted(str(error)), passes=True)
            except BaseException:
                self.disconnect()
                raise
            self.disconnect()
            if wait is None or not failure.passes or time.monotonic() - started > self._limits.patience:
                break
            log.warning("The ledger's database failed: %s. Trying again in %.1f s.", failure.reason, wait)
            self.sleep(wait)
        raise error_for(failure)

    def _attempt(self, work: Callable[[sa.engine.Connection], _T]) -> _T:
        with self._watch.limit(self._limits.transaction):
            if self._connection is None:
                self._connection = self.engine.connect()
            with self._connection.begin():
                self._limit_waits(self._connection)
                return work(self._connection)

    def _limit_waits(self, connection: sa.engine.Connection) -> None:
        limits = self._limits
        if connection.dialect.name != "postgresql":
            # SQLite lets one task write at a time; the others wait.
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(limits.lock * 1000)}")
            return
        if self._unset is None:
            # What the role, the database or the Connection's options set is kept.
            read = ", ".join(f"current_setting('{name}')" for name in _TIMEOUTS)
            found = connection.exec_driver_sql(f"SELECT {read}").one()
            self._unset = [name for name, value in zip(_TIMEOUTS, found, strict=True) if value == "0"]
        milliseconds = {name: int(getattr(limits, _TIMEOUTS[name]) * 1000) for name in self._unset}
        # In one round trip.
        connection.exec_driver_sql(
            "; ".join([_NO_NOTICES, *(f"SET LOCAL {name} = {ms}" for name, ms in milliseconds.items())])
        )

    def _failure(self, error: SQLAlchemyError) -> Failure:
        if self._watch.has_ended:
            return Failure("it did not respond in time", passes=True)
        return failure_of(error)

    def _wait(self, seconds: float) -> None:
        if self._is_failing_fast:
            time.sleep(min(seconds, _LONGEST_WAIT_WHEN_FAILING_FAST))
            return
        end = time.monotonic() + seconds
        while not self._is_failing_fast and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_EVERY))

    def disconnect(self) -> None:
        """Close the connection; the next transaction opens another."""
        connection, self._connection, self._unset = self._connection, None, None
        self._watch.detach()
        if connection is not None:
            with suppress(SQLAlchemyError):  # it was broken already
                connection.invalidate()
                connection.close()

    def close(self) -> None:
        """Close the connection, and end the thread that watches it."""
        self.disconnect()
        self._watch.close()
        self.engine.dispose()


class Watch:
    """Watchdog that ends the connection to a silent server, by shutting its socket down from another thread.

    Neither the server's own timeouts nor TCP's help if the server is frozen, or if a proxy waits for it.
    """

    def __init__(self) -> None:
        #: Whether the connection was ended since the last :meth:`limit`.
        self.has_ended = False
        self._deadline: float | None = None
        self._shortened: float | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def attach(self, connection: Any, _record: object = None) -> None:
        """Watch a driver's new connection, if it has a socket."""
        if not hasattr(connection, "fileno"):
            return
        # A descriptor of its own: by the time of the shutdown, the driver's may belong to another socket.
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
        self.detach()
        with self._lock:
            self._socket = duplicate
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kaleyra-ledger-watch", daemon=True)
            self._thread.start()

    def detach(self) -> None:
        """Watch no connection any longer."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """End the connection if the block takes longer."""
        with self._lock:
            self.has_ended, self._shortened, self._deadline = False, None, time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                self._deadline = None

    def shorten(self, seconds: float) -> None:
        """Limit a block that is running to so many seconds from now; takes no lock, for signal handlers."""
        self._shortened = time.monotonic() + seconds

    def close(self) -> None:
        """End the thread."""
        self.detach()
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(_WATCH_EVERY):
            with self._lock:
                if self._is_late() and self._socket is not None:
                    self.has_ended = True
                    with suppress(OSError):
                        self._socket.shutdown(socket.SHUT_RDWR)

    def _is_late(self) -> bool:
        if self._deadline is None:
            return False
        shortened = self._shortened
        return time.monotonic() > (self._deadline if shortened is None else min(self._deadline, shortened))
