"""The ledger: who was sent what, as a table in the user's own database."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from airflow_provider_kaleyra.campaign.claims import KILLED, Claimant, Held, OnUnknown, State, Step, decide
from airflow_provider_kaleyra.campaign.table import INSERTS, SCHEMA_VERSION, SENDS, VERSION, Statements, metadata
from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraLedgerError
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Outcome, Rejected, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_kaleyra.campaign.recipients import Addressed

WAITS = (0.5, 1.0, 2.0, 4.0)
_LONGEST_DETAIL = 500
_HELD = "recipient state code claim fingerprint retryable dag_id run_id task_id map_index try_number".split()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A recipient, with what to do about it.

    :param claim: what proves that the row is this task's.
    :param changed: whether the message is another one than the ledger's.
    :param code: the ledger's code of an earlier task's rejection.
    """

    addressed: Addressed
    step: Step
    claim: str
    changed: bool = False
    code: str | None = None


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
        self._statements = Statements(engine.dialect.name)

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
        rows = [_outcome_row(settled) for settled in sorted(batch, key=lambda one: one.claimed.addressed.to)]
        parameters = self._parameters(rows)

        def write(connection: sa.engine.Connection) -> dict[str, str]:
            if self._changes(connection, self._statements.record, parameters) == len(rows):
                return {}
            return self._claims(connection, parameters)

        claims = self._in_transaction(write, f"{len(rows)} outcomes could not be recorded", "")
        return [one for one in batch if claims.get(one.claimed.addressed.to, one.claimed.claim) != one.claimed.claim]

    def close(self) -> None:
        """Give the connection back."""
        self._disconnect()
        self._engine.dispose()

    def _claim(
        self, connection: sa.engine.Connection, ours: Sequence[Addressed], claim: str
    ) -> dict[str, tuple[Step, str, bool, str | None]]:
        parameters = self._parameters([_claim_row(one, claim) for one in ours])
        if self._changes(connection, self._statements.claim, parameters) == len(ours):
            return {one.to: (Step.SEND, claim, False, None) for one in ours}
        found = connection.execute(self._statements.held(*_HELD), parameters)
        held = {row[0]: Held(State(row[1]), *row[2:]) for row in found}
        numbers = [one.to for one in ours if one.to in held]
        fingerprints = {one.to: one.fingerprint for one in ours}
        steps = {to: decide(held[to], self._claimant, claim, fingerprints[to], self._on_unknown) for to in numbers}
        take_over = [to for to in numbers if steps[to] is Step.TAKE_OVER]
        if take_over:
            self._take_over(connection, take_over, held, claim)
            claims = self._claims(connection, parameters)
            steps |= {to: Step.SEND if claims.get(to) == claim else Step.ELSEWHERE for to in take_over}
        self._mark_unknown(connection, [to for to in numbers if steps[to] is Step.MARK_UNKNOWN], held)
        left = {to: (steps[to], claim, held[to].fingerprint != fingerprints[to], held[to].code) for to in numbers}
        # A row that somebody deleted at this very moment is not this task's.
        return {one.to: left.get(one.to, (Step.ELSEWHERE, claim, False, None)) for one in ours}

    def _take_over(
        self, connection: sa.engine.Connection, numbers: Sequence[str], held: dict[str, Held], claim: str
    ) -> None:
        """Claim rows that were seen as *held*, those of them that still are."""
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

    def _mark_unknown(self, connection: sa.engine.Connection, numbers: Sequence[str], held: dict[str, Held]) -> None:
        if numbers:
            detail = "the try that claimed it ended without telling what became of it"
            killed = {"state": State.UNKNOWN.value, "code": KILLED, "detail": detail, "updated_at": _now()}
            connection.execute(self._unchanged(numbers, held).values(**killed))

    def _unchanged(self, numbers: Sequence[str], held: dict[str, Held]) -> Any:
        """An update of rows which are still as they were read: nobody else has claimed or settled them since."""
        return sa.update(SENDS).where(
            SENDS.c.campaign_id == self._campaign_id,
            SENDS.c.recipient.in_(numbers),
            SENDS.c.claim.in_(sorted({held[to].claim for to in numbers})),
            SENDS.c.state.in_(sorted({held[to].state.value for to in numbers})),
        )

    def _claims(self, connection: sa.engine.Connection, parameters: dict[str, Any]) -> dict[str, str]:
        """Who holds the recipients."""
        found = connection.execute(self._statements.held("recipient", "claim"), parameters)
        return {row.recipient: row.claim for row in found}

    def _parameters(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        claimant = self._claimant
        return {
            "rows": json.dumps(rows),
            "campaign_id": self._campaign_id,
            "dag_id": claimant.dag_id,
            "run_id": claimant.run_id,
            "task_id": claimant.task_id,
            "map_index": claimant.map_index,
            "try_number": claimant.try_number,
            "now": _now(),
        }

    def _changes(self, connection: sa.engine.Connection, statement: Any, parameters: dict[str, Any]) -> int:
        """Execute, and count the rows that were written."""
        result = connection.execution_options(preserve_rowcount=True).execute(statement, parameters)
        rows: int = result.rowcount
        return rows

    def _require_table(self, connection: sa.engine.Connection) -> None:
        try:
            with connection.begin_nested():
                metadata.create_all(connection)
        except DBAPIError:
            # Another task may have created it at the same moment; if not, reading it tells the cause.
            pass
        versions = [row.version for row in connection.execute(sa.select(VERSION.c.version))]
        if not versions:
            insert = INSERTS[self._engine.dialect.name](VERSION).values(version=SCHEMA_VERSION)
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
    if engine.dialect.name not in INSERTS:
        raise KaleyraConfigError(
            f"Mend ledger_conn_id: the ledger needs PostgreSQL or SQLite, and this Connection leads to "
            f"{engine.dialect.name}."
        )
    if engine.dialect.name == "sqlite" and engine.url.database in {None, "", ":memory:"}:
        raise KaleyraConfigError(
            "Mend ledger_conn_id: this Connection leads to a SQLite database in memory, which forgets what was sent. "
            "Put the path of a file into its host."
        )


def _claim_row(addressed: Addressed, claim: str) -> dict[str, Any]:
    message = addressed.message
    return {
        "recipient": message.to,
        "state": State.CLAIMED.value,
        "retryable": False,
        "ref": _storable(message.ref),
        "ref1": _storable(message.ref1),
        "ref2": _storable(message.ref2),
        "line": addressed.line,
        "fingerprint": addressed.fingerprint,
        "claim": claim,
    }


def _outcome_row(settled: Settled) -> dict[str, Any]:
    row = _claim_row(settled.claimed.addressed, settled.claimed.claim)
    row["retryable"] = settled.is_open
    match settled.outcome:
        case Accepted(message_id):
            row["state"], row["message_id"] = State.ACCEPTED.value, _storable(message_id)
        case Rejected(code=code, http_status=status, message=message, details=details):
            words = [message, *(f"{name}: {value}" for name, value in details.items() if value != message)]
            row["state"], row["code"] = State.REJECTED.value, _storable(code or f"HTTP {status}")
            row["detail"] = _storable("; ".join(words)[:_LONGEST_DETAIL])
        case NotSent(reason):
            row["state"], row["detail"] = State.NOT_SENT.value, _storable(reason[:_LONGEST_DETAIL])
        case Unknown(reason):
            row["state"], row["detail"] = State.UNKNOWN.value, _storable(reason[:_LONGEST_DETAIL])
    return row


def _storable(text: str | None) -> str | None:
    """*text* without what PostgreSQL refuses to store, whatever bytes Kaleyra answered with."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


def _now() -> datetime:
    return datetime.now(UTC)


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else "no reason given"
