"""The ledger: who was sent what, as a table in the user's own database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.ledger.claim_rules import KILLED, Claimant, ExistingRow, decide
from airflow_provider_kaleyra.ledger.database import Database
from airflow_provider_kaleyra.ledger.ddl import require_tables
from airflow_provider_kaleyra.ledger.schema import INSERTS, SENDS, Statements
from airflow_provider_kaleyra.ledger.values import ClaimResult, OnUnknown, PreparedMessage, SendResult, State, Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_LONGEST_DETAIL = 500
_HELD = "recipient state code claim fingerprint retryable dag_id run_id task_id map_index try_number".split()


class Ledger:
    """One task's access to the table, over one connection, from one thread.

    :param engine: SQLAlchemy's, of a PostgreSQL or SQLite database.
    :param sleep: waits between tries of a database that fails; without one, :meth:`fail_fast` ends such a wait.
    :raises KaleyraConfigError: the database is of another kind.
    """

    def __init__(
        self,
        engine: sa.engine.Engine,
        campaign_id: str,
        claimant: Claimant,
        on_unknown: OnUnknown = "skip",
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        if engine.dialect.name not in INSERTS:
            raise KaleyraConfigError(
                "ledger_conn_id cannot be used: the ledger needs PostgreSQL or SQLite, and this Connection leads to "
                f"{engine.dialect.name}."
            )
        if engine.dialect.name == "postgresql":
            # Other levels, which a role can have as its default, do not see what a task committed for which one waited.
            engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._database = Database(engine, sleep)
        self._campaign_id = campaign_id
        self._claimant = claimant
        self._on_unknown = on_unknown
        self._windows = 0
        self._statements = Statements(engine.dialect.name)

    def prepare(self) -> None:
        """Create the tables, or migrate those of an earlier release.

        :raises KaleyraConfigError: the Connection or the role cannot be used, or the tables are a later release's.
        :raises KaleyraLedgerError: the database fails for about a minute.
        """
        self._database.transaction(
            require_tables, "its tables could not be created or read", "Nothing was sent.", is_first=True
        )

    def fail_fast(self) -> None:
        """Give up on a database that fails within seconds from now on; may be called from any thread."""
        self._database.fail_fast()

    def claim(self, window: Sequence[PreparedMessage]) -> list[ClaimResult]:
        """Claim a window of recipients, and tell for each what to do; what is to be sent is committed as claimed.

        :raises KaleyraLedgerError: the database fails again and again.
        """
        self._windows += 1
        claim = self._claimant.claim(self._windows)
        first = {one.to: one for one in reversed(window)}
        # In one order, so that two tasks never wait for each other.
        ours = [first[to] for to in sorted(first)]
        steps = self._database.transaction(
            lambda connection: self._claim(connection, ours, claim),
            f"{len(ours)} recipients could not be claimed",
            "They were not sent; a retry goes on with them, or reports them as unknown.",
        )
        return [
            ClaimResult(one, *steps[one.to]) if one is first[one.to] else ClaimResult(one, Step.DUPLICATE, claim)
            for one in window
        ]

    def record(self, batch: Sequence[SendResult]) -> list[SendResult]:
        """Write down what became of messages.

        :return: those whose rows another task holds by now.
        :raises KaleyraLedgerError: the database fails again and again.
        """
        rows = [_outcome_row(settled) for settled in sorted(batch, key=lambda one: one.claimed.prepared.to)]
        parameters = self._parameters(rows)

        def write(connection: sa.engine.Connection) -> dict[str, str]:
            if self._changes(connection, self._statements.record, parameters) == len(rows):
                return {}
            return self._claims(connection, parameters)

        claims = self._database.transaction(write, f"{len(rows)} outcomes could not be recorded", "")
        return [one for one in batch if claims.get(one.claimed.prepared.to, one.claimed.claim) != one.claimed.claim]

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _claim(
        self, connection: sa.engine.Connection, ours: Sequence[PreparedMessage], claim: str
    ) -> dict[str, tuple[Step, str, bool, str | None]]:
        parameters = self._parameters([_claim_row(one, claim) for one in ours])
        if self._changes(connection, self._statements.claim, parameters) == len(ours):
            return {one.to: (Step.SEND, claim, False, None) for one in ours}
        found = connection.execute(self._statements.held(*_HELD), parameters)
        held = {row[0]: ExistingRow(State(row[1]), *row[2:]) for row in found}
        numbers = [one.to for one in ours if one.to in held]
        fingerprints = {one.to: one.fingerprint for one in ours}
        steps = {to: decide(held[to], self._claimant, claim, fingerprints[to], self._on_unknown) for to in numbers}
        take_over = [to for to in numbers if steps[to] is Step.RECLAIM]
        if take_over:
            self._reclaim(connection, take_over, held, claim)
            claims = self._claims(connection, parameters)
            steps |= {to: Step.SEND if claims.get(to) == claim else Step.CLAIMED_ELSEWHERE for to in take_over}
        self._record_killed(connection, [to for to in numbers if steps[to] is Step.RECORD_KILLED], held)
        left = {to: (steps[to], claim, held[to].fingerprint != fingerprints[to], held[to].code) for to in numbers}
        # A row that somebody deleted at this very moment is not this task's.
        return {one.to: left.get(one.to, (Step.CLAIMED_ELSEWHERE, claim, False, None)) for one in ours}

    def _reclaim(
        self, connection: sa.engine.Connection, numbers: Sequence[str], held: dict[str, ExistingRow], claim: str
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

    def _record_killed(
        self, connection: sa.engine.Connection, numbers: Sequence[str], held: dict[str, ExistingRow]
    ) -> None:
        if numbers:
            detail = "the try that claimed it ended without telling what became of it"
            killed = {"state": State.UNKNOWN.value, "code": KILLED, "detail": detail, "updated_at": _now()}
            connection.execute(self._unchanged(numbers, held).values(**killed))

    def _unchanged(self, numbers: Sequence[str], held: dict[str, ExistingRow]) -> Any:
        """An update of rows which are still as they were read: nobody else has claimed or settled them since."""
        return sa.update(SENDS).where(
            SENDS.c.campaign_id == self._campaign_id,
            SENDS.c.send_key.in_(numbers),
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


def _claim_row(prepared: PreparedMessage, claim: str) -> dict[str, Any]:
    message = prepared.message
    return {
        "send_key": message.to,
        "recipient": message.to,
        "state": State.CLAIMED.value,
        "retryable": False,
        "ref": _storable(message.ref),
        "ref1": _storable(message.ref1),
        "ref2": _storable(message.ref2),
        "line": prepared.line,
        "fingerprint": prepared.fingerprint,
        "claim": claim,
    }


def _outcome_row(settled: SendResult) -> dict[str, Any]:
    row = _claim_row(settled.claimed.prepared, settled.claimed.claim)
    row["retryable"] = settled.retryable
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
