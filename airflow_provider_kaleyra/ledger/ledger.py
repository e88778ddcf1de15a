"""The ledger: a table in the user's own database, with one row for each recipient of a campaign."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from airflow_provider_kaleyra.exceptions import KaleyraConfigError, KaleyraError, KaleyraLedgerError
from airflow_provider_kaleyra.ledger.claim_rules import KILLED, Claimant, ExistingRow, decide
from airflow_provider_kaleyra.ledger.database import Database
from airflow_provider_kaleyra.ledger.schema import SENDS, Statements
from airflow_provider_kaleyra.ledger.tables import require_tables
from airflow_provider_kaleyra.ledger.values import ClaimResult, OnUnknown, PreparedMessage, SendResult, State, Step
from airflow_provider_kaleyra.whatsapp.outcome import Accepted, NotSent, Rejected, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_kaleyra.ledger.database_errors import Failure

_LONGEST_DETAIL = 500
_DECISIVE = "recipient state code claim fingerprint retryable dag_id run_id task_id map_index try_number".split()


class Ledger:
    """One task's access to the table, over one connection, from one thread.

    :param engine: engine of a PostgreSQL or SQLite database.
    :param campaign_id: the campaign whose rows are read and written.
    :param claimant: the task, as its claims name it.
    :param on_unknown: what to do with recipients whose outcome is unknown.
    :param sleep: function that waits between attempts on a failing database; without one, :meth:`fail_fast` ends the
        wait.
    """

    def __init__(
        self,
        engine: sa.engine.Engine,
        campaign_id: str,
        claimant: Claimant,
        on_unknown: OnUnknown = "skip",
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._database = Database(engine, sleep)
        self._campaign_id = campaign_id
        self._claimant = claimant
        self._on_unknown = on_unknown
        self._windows = 0
        self._statements = Statements(engine.dialect.name)

    def prepare(self) -> None:
        """Create the tables, or migrate those of an earlier release.

        :raises KaleyraConfigError: the Connection or the role cannot be used, or a later release made the tables.
        :raises KaleyraLedgerError: the database fails for about a minute.
        """
        self._database.transaction(require_tables, _error_of_prepare)

    def fail_fast(self) -> None:
        """Allow a failing database only seconds from now on; may be called from any thread."""
        self._database.fail_fast()

    def claim(self, window: Sequence[PreparedMessage]) -> list[ClaimResult]:
        """Claim a window of recipients, and return what to do with each; the claims are committed.

        :raises KaleyraLedgerError: the database keeps failing.
        """
        self._windows += 1
        claim = self._claimant.claim(self._windows)
        first = {one.to: one for one in reversed(window)}
        # In one order, so that two tasks never wait for each other.
        ours = [first[to] for to in sorted(first)]
        steps = self._database.transaction(
            lambda connection: self._claim(connection, ours, claim),
            lambda failure: _ledger_error(
                failure,
                f"{len(ours)} recipients could not be claimed",
                "Nothing was sent to them; a retry continues with them, or reports them as unknown.",
            ),
        )
        return [
            ClaimResult(one, *steps[one.to]) if one is first[one.to] else ClaimResult(one, Step.DUPLICATE, claim)
            for one in window
        ]

    def record(self, batch: Sequence[SendResult]) -> list[SendResult]:
        """Record the outcomes of messages.

        :return: those that are not recorded, because another task has claimed their rows.
        :raises KaleyraLedgerError: the database keeps failing.
        """
        rows = [_outcome_row(result) for result in sorted(batch, key=lambda one: one.claimed.prepared.to)]
        parameters = self._parameters(rows)

        def write(connection: sa.engine.Connection) -> dict[str, str]:
            if self._changes(connection, self._statements.record, parameters) == len(rows):
                return {}
            return self._claims(connection, parameters)

        claims = self._database.transaction(
            write, lambda failure: _ledger_error(failure, f"{len(rows)} outcomes could not be recorded")
        )
        return [one for one in batch if claims.get(one.claimed.prepared.to, one.claimed.claim) != one.claimed.claim]

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _claim(
        self, connection: sa.engine.Connection, ours: Sequence[PreparedMessage], claim: str
    ) -> dict[str, tuple[Step, str, bool, str | None]]:
        parameters = self._parameters([_claim_row(one, claim) for one in ours])
        if self._changes(connection, self._statements.claim, parameters) == len(ours):
            return {one.to: (Step.SEND, claim, False, None) for one in ours}
        found = connection.execute(self._statements.read(*_DECISIVE), parameters)
        rows = {row[0]: ExistingRow(State(row[1]), *row[2:]) for row in found}
        numbers = [one.to for one in ours if one.to in rows]
        fingerprints = {one.to: one.fingerprint for one in ours}
        steps = {to: decide(rows[to], self._claimant, claim, fingerprints[to], self._on_unknown) for to in numbers}
        if reclaimed := [to for to in numbers if steps[to] is Step.RECLAIM]:
            self._reclaim(connection, reclaimed, rows, claim)
            claims = self._claims(connection, parameters)
            steps |= {to: Step.SEND if claims.get(to) == claim else Step.CLAIMED_ELSEWHERE for to in reclaimed}
        if killed := [to for to in numbers if steps[to] is Step.RECORD_KILLED]:
            self._record_killed(connection, killed, rows)
        decided = {to: (steps[to], claim, rows[to].fingerprint != fingerprints[to], rows[to].code) for to in numbers}
        # A row that was deleted between the two statements is not this task's.
        return {one.to: decided.get(one.to, (Step.CLAIMED_ELSEWHERE, claim, False, None)) for one in ours}

    def _reclaim(
        self, connection: sa.engine.Connection, numbers: Sequence[str], rows: dict[str, ExistingRow], claim: str
    ) -> None:
        """Claim rows that have not changed since they were read."""
        claimant = self._claimant
        connection.execute(
            self._unchanged(numbers, rows).values(
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
        self, connection: sa.engine.Connection, numbers: Sequence[str], rows: dict[str, ExistingRow]
    ) -> None:
        detail = "the try that claimed it ended without recording an outcome"
        killed = {"state": State.UNKNOWN.value, "code": KILLED, "detail": detail, "updated_at": _now()}
        connection.execute(self._unchanged(numbers, rows).values(**killed))

    def _unchanged(self, numbers: Sequence[str], rows: dict[str, ExistingRow]) -> Any:
        """Return an update of those rows whose claim and state have not changed since they were read."""
        return sa.update(SENDS).where(
            SENDS.c.campaign_id == self._campaign_id,
            SENDS.c.send_key.in_(numbers),
            SENDS.c.claim.in_(sorted({rows[to].claim for to in numbers})),
            SENDS.c.state.in_(sorted({rows[to].state.value for to in numbers})),
        )

    def _claims(self, connection: sa.engine.Connection, parameters: dict[str, Any]) -> dict[str, str]:
        """Return the claim of each recipient's row."""
        found = connection.execute(self._statements.read("recipient", "claim"), parameters)
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
        """Execute a statement, and return how many rows it wrote."""
        result = connection.execution_options(preserve_rowcount=True).execute(statement, parameters)
        rows: int = result.rowcount
        return rows


def _error_of_prepare(failure: Failure) -> KaleyraError:
    """Return the error of a first transaction: nothing was sent, so a failure that lasts is the Connection's fault."""
    if failure.passes:
        return _ledger_error(failure, "its tables could not be created or read", "Nothing was sent.")
    return KaleyraConfigError(f"ledger_conn_id cannot be used: {failure.reason}. {failure.advice}".rstrip())


def _ledger_error(failure: Failure, what: str, consequence: str = "") -> KaleyraLedgerError:
    return KaleyraLedgerError(f"{what} ({failure.reason})", f"{failure.advice} {consequence}".strip())


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


def _outcome_row(result: SendResult) -> dict[str, Any]:
    row = _claim_row(result.claimed.prepared, result.claimed.claim)
    row["retryable"] = result.retryable
    match result.outcome:
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
    """Return the text without characters that PostgreSQL rejects: NUL and lone surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


def _now() -> datetime:
    return datetime.now(UTC)
