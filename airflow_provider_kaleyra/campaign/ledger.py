"""The ledger: who was sent what, as a table in the user's own database."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from airflow_provider_kaleyra.campaign.claims import Claimant, Held, OnUnknown, State, Step, decide
from airflow_provider_kaleyra.campaign.errors import KaleyraLedgerError
from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_kaleyra.campaign.recipients import Addressed

SCHEMA_VERSION = 1
WAITS = (0.5, 1.0, 2.0, 4.0)
_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_LONGEST_DETAIL = 500

metadata = sa.MetaData()

#: One row for each recipient of each campaign.
SENDS = sa.Table(
    "kaleyra_sends",
    metadata,
    sa.Column("campaign_id", sa.String(250), primary_key=True),
    sa.Column("recipient", sa.String(16), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("message_id", sa.Text),
    sa.Column("code", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("retryable", sa.Boolean, nullable=False),
    sa.Column("ref", sa.Text),
    sa.Column("ref1", sa.Text),
    sa.Column("ref2", sa.Text),
    sa.Column("line", sa.Integer),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("claim", sa.String(64), nullable=False),
    sa.Column("dag_id", sa.String(250), nullable=False),
    sa.Column("run_id", sa.String(250), nullable=False),
    sa.Column("task_id", sa.String(250), nullable=False),
    sa.Column("map_index", sa.Integer, nullable=False),
    sa.Column("try_number", sa.Integer, nullable=False),
    sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("kaleyra_sends_state", "campaign_id", "state"),
)

#: One row, so that a later release knows what it finds.
VERSION = sa.Table("kaleyra_sends_version", metadata, sa.Column("version", sa.Integer, primary_key=True))

_OUTCOME = ("state", "message_id", "code", "detail", "retryable", "ref", "ref1", "ref2", "fingerprint", "updated_at")
_HELD = "recipient state claim fingerprint retryable dag_id run_id task_id map_index try_number".split()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A recipient, with what to do about it.

    :param claim: what proves that the row is this task's.
    :param changed: whether the message is another one than the ledger's.
    """

    addressed: Addressed
    step: Step
    claim: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """A message that this task claimed, with what became of it.

    :param is_open: whether a later try sends it again.
    """

    claimed: Claimed
    outcome: Outcome
    is_open: bool


_T = TypeVar("_T")


class Ledger:
    """One task's access to the table, over one connection, from one thread.

    :param engine: SQLAlchemy's, of a PostgreSQL or SQLite database.
    :param sleep: waits between tries of a database that fails.
    :raises KaleyraConfigError: the database is of another kind, or forgets.
    """

    def __init__(
        self,
        engine: sa.engine.Engine,
        campaign_id: str,
        claimant: Claimant,
        on_unknown: OnUnknown = "skip",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        _require_usable(engine)
        self._engine = engine
        self._campaign_id = campaign_id
        self._claimant = claimant
        self._on_unknown = on_unknown
        self._sleep = sleep
        self._connection: sa.engine.Connection | None = None
        self._windows = 0
        insert = _INSERTS[engine.dialect.name](SENDS)
        self._claim_rows = insert.on_conflict_do_nothing(index_elements=["campaign_id", "recipient"])
        # An insert, because drivers send many of them at once; the claim keeps it from another task's row.
        self._record_rows = insert.on_conflict_do_update(
            index_elements=["campaign_id", "recipient"],
            set_={name: insert.excluded[name] for name in _OUTCOME},
            where=SENDS.c.claim == insert.excluded.claim,
        )

    def prepare(self) -> None:
        """Create the table where it is missing.

        :raises KaleyraConfigError: the table is from a later release.
        """
        self._in_transaction(self._require_table, "its table could not be created or read", "Nothing was sent.")

    def claim(self, window: Sequence[Addressed]) -> list[Claimed]:
        """Claim a window of recipients, and tell for each what to do; what is to be sent is committed as claimed.

        :raises KaleyraLedgerError: the database fails again and again.
        """
        self._windows += 1
        claim = self._claimant.claim(self._windows)
        first = {one.to: one for one in reversed(window)}
        # In one order, so that two tasks never wait for each other.
        ours = [first[to] for to in sorted(first)]
        steps = self._in_transaction(
            lambda connection: self._claim(connection, ours, claim),
            f"{len(ours)} recipients could not be claimed",
            "They were not sent; a retry goes on with them, or reports them as unknown.",
        )
        return [
            Claimed(one, *steps[one.to]) if one is first[one.to] else Claimed(one, Step.DUPLICATE, claim)
            for one in window
        ]

    def record(self, batch: Sequence[Settled]) -> list[Settled]:
        """Write down what became of messages.

        :return: those whose rows another task holds by now.
        :raises KaleyraLedgerError: the database fails again and again.
        """
        rows = [self._outcome_row(settled) for settled in sorted(batch, key=lambda one: one.claimed.addressed.to)]

        def write(connection: sa.engine.Connection) -> dict[str, str]:
            connection.execute(self._record_rows, rows)
            found = connection.execute(self._rows_of([row["recipient"] for row in rows], "recipient", "claim"))
            return {row.recipient: row.claim for row in found}

        claims = self._in_transaction(write, f"{len(rows)} outcomes could not be recorded", "")
        return [one for one in batch if claims.get(one.claimed.addressed.to) != one.claimed.claim]

    def close(self) -> None:
        """Give the connection back."""
        self._disconnect()
        self._engine.dispose()

    def _claim(
        self, connection: sa.engine.Connection, ours: Sequence[Addressed], claim: str
    ) -> dict[str, tuple[Step, str, bool]]:
        connection.execute(self._claim_rows, [self._claim_row(one, claim) for one in ours])
        numbers = [one.to for one in ours]
        held = self._held(connection, numbers)
        steps = {one.to: decide(held[one.to], self._claimant, claim, one.fingerprint, self._on_unknown) for one in ours}
        take_over = [to for to in numbers if steps[to] is Step.TAKE_OVER]
        if take_over:
            won = self._take_over(connection, take_over, held, claim)
            steps |= {to: Step.SEND if to in won else Step.ELSEWHERE for to in take_over}
        self._mark_unknown(connection, [to for to in numbers if steps[to] is Step.MARK_UNKNOWN], held)
        return {one.to: (steps[one.to], claim, held[one.to].fingerprint != one.fingerprint) for one in ours}

    def _held(self, connection: sa.engine.Connection, numbers: Sequence[str]) -> dict[str, Held]:
        found = connection.execute(self._rows_of(numbers, *_HELD))
        return {row[0]: Held(State(row[1]), *row[2:]) for row in found}

    def _take_over(
        self, connection: sa.engine.Connection, numbers: Sequence[str], held: dict[str, Held], claim: str
    ) -> set[str]:
        """Claim rows that were seen as *held*, and tell which of them are this task's now."""
        claimant = self._claimant
        connection.execute(
            self._unchanged(numbers, held).values(
                state=State.CLAIMED.value,
                claim=claim,
                dag_id=claimant.dag_id,
                run_id=claimant.run_id,
                task_id=claimant.task_id,
                map_index=claimant.map_index,
                try_number=claimant.try_number,
                message_id=None,
                code=None,
                detail=None,
                retryable=False,
                claimed_at=_now(),
                updated_at=_now(),
            )
        )
        found = connection.execute(self._rows_of(numbers, "recipient", "claim"))
        return {row.recipient for row in found if row.claim == claim}

    def _mark_unknown(self, connection: sa.engine.Connection, numbers: Sequence[str], held: dict[str, Held]) -> None:
        if numbers:
            detail = "the try that claimed it ended without telling what became of it"
            connection.execute(
                self._unchanged(numbers, held).values(state=State.UNKNOWN.value, detail=detail, updated_at=_now())
            )

    def _unchanged(self, numbers: Sequence[str], held: dict[str, Held]) -> Any:
        """An update of rows which are still as they were read: nobody else has claimed or settled them since."""
        return sa.update(SENDS).where(
            SENDS.c.campaign_id == self._campaign_id,
            SENDS.c.recipient.in_(numbers),
            SENDS.c.claim.in_(sorted({held[to].claim for to in numbers})),
            SENDS.c.state.in_(sorted({held[to].state.value for to in numbers})),
        )

    def _rows_of(self, numbers: Sequence[str], *columns: str) -> Any:
        return sa.select(*(SENDS.c[name] for name in columns)).where(
            SENDS.c.campaign_id == self._campaign_id, SENDS.c.recipient.in_(numbers)
        )

    def _claim_row(self, addressed: Addressed, claim: str) -> dict[str, Any]:
        claimant, message, now = self._claimant, addressed.message, _now()
        return {
            "campaign_id": self._campaign_id,
            "recipient": message.to,
            "state": State.CLAIMED.value,
            "message_id": None,
            "code": None,
            "detail": None,
            "retryable": False,
            "ref": message.ref,
            "ref1": message.ref1,
            "ref2": message.ref2,
            "line": addressed.line,
            "fingerprint": addressed.fingerprint,
            "claim": claim,
            "dag_id": claimant.dag_id,
            "run_id": claimant.run_id,
            "task_id": claimant.task_id,
            "map_index": claimant.map_index,
            "try_number": claimant.try_number,
            "claimed_at": now,
            "updated_at": now,
        }

    def _outcome_row(self, settled: Settled) -> dict[str, Any]:
        row = self._claim_row(settled.claimed.addressed, settled.claimed.claim) | {"retryable": settled.is_open}
        match settled.outcome:
            case Accepted(message_id):
                return row | {"state": State.ACCEPTED.value, "message_id": message_id}
            case Rejected(code=code, http_status=status, message=message, details=details):
                words = "; ".join(
                    [message, *(f"{name}: {value}" for name, value in details.items() if value != message)]
                )
                known = {"code": code or f"HTTP {status}", "detail": words[:_LONGEST_DETAIL]}
                return row | {"state": State.REJECTED.value} | known
            case NotSent(reason):
                return row | {"state": State.NOT_SENT.value, "detail": reason[:_LONGEST_DETAIL]}
            case unknown:
                return row | {"state": State.UNKNOWN.value, "detail": unknown.reason[:_LONGEST_DETAIL]}

    def _require_table(self, connection: sa.engine.Connection) -> None:
        try:
            with connection.begin_nested():
                metadata.create_all(connection)
        except DBAPIError:
            # Another task may have created it at the same moment; if not, reading it tells the cause.
            pass
        versions = [row.version for row in connection.execute(sa.select(VERSION.c.version))]
        if not versions:
            insert = _INSERTS[self._engine.dialect.name](VERSION).values(version=SCHEMA_VERSION)
            connection.execute(insert.on_conflict_do_nothing(index_elements=["version"]))
        if max(versions, default=SCHEMA_VERSION) > SCHEMA_VERSION:
            raise KaleyraConfigError(
                f"The ledger's table kaleyra_sends has version {max(versions)}, which a later release of "
                f"airflow-provider-kaleyra made; this one knows version {SCHEMA_VERSION}. Upgrade the package."
            )

    def _in_transaction(self, work: Callable[[sa.engine.Connection], _T], what: str, advice: str) -> _T:
        """Do *work* and commit; a database that fails is tried again, over a new connection.

        All that is done here may be done twice: a claim is known by its name, an outcome is the same.
        """
        for wait in (*WAITS, None):
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                with self._connection.begin():
                    return work(self._connection)
            except SQLAlchemyError as error:
                self._disconnect()
                if wait is None or not isinstance(error, OperationalError | InterfaceError):
                    # Its own text would quote the statement's parameters, which hold numbers.
                    cause = str(error.orig).strip() if isinstance(error, DBAPIError) else type(error).__name__
                    raise KaleyraLedgerError(f"{what} ({_first_line(cause)})", advice) from None
                self._sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except SQLAlchemyError:
                pass  # it was broken already


def _require_usable(engine: sa.engine.Engine) -> None:
    if engine.dialect.name not in _INSERTS:
        raise KaleyraConfigError(
            f"Mend ledger_conn_id: the ledger needs PostgreSQL or SQLite, and this Connection leads to "
            f"{engine.dialect.name}."
        )
    if engine.dialect.name == "sqlite" and engine.url.database in {None, "", ":memory:"}:
        raise KaleyraConfigError(
            "Mend ledger_conn_id: this Connection leads to a SQLite database in memory, which forgets what was sent. "
            "Put the path of a file into its host."
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else "no reason given"
