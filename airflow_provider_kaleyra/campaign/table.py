"""The ledger's table, with the statements that every message goes through."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

SCHEMA_VERSION = 1
INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

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
    sa.Index("kaleyra_sends_state", "state", "campaign_id"),
)

#: One row, so that a later release knows what it finds.
VERSION = sa.Table("kaleyra_sends_version", metadata, sa.Column("version", sa.Integer, primary_key=True))

#: What differs from row to row; the others are the same for all rows of a statement.
OF_A_ROW = "recipient state message_id code detail retryable ref ref1 ref2 line fingerprint claim".split()
_OUTCOME = "state message_id code detail retryable ref ref1 ref2 fingerprint updated_at".split()


class Statements:
    """The statements in one database's dialect.

    Rows come as one JSON text, parameter ``rows``: a parameter for each of their columns would cost more of the
    client's time than all the rest of a message.
    """

    def __init__(self, dialect: str) -> None:
        rows = sa.bindparam("rows", type_=sa.Text)
        self._has_lateral = dialect == "postgresql"
        if dialect == "postgresql":
            self._elements = sa.func.jsonb_array_elements(sa.cast(rows, postgresql.JSONB))
            self._field = "element.value ->> '{}'"
        else:
            self._elements = sa.func.json_each(rows)
            self._field = "json_extract(element.value, '$.{}')"
        insert = INSERTS[dialect](SENDS).from_select([column.name for column in SENDS.c], self._select_rows())
        key = ["campaign_id", "recipient"]
        #: Claims those rows that are not there yet; the others stay as they are.
        self.claim = insert.on_conflict_do_nothing(index_elements=key)
        #: Writes outcomes down; an insert all the same, whose claim keeps it from another task's row.
        self.record = insert.on_conflict_do_update(
            index_elements=key,
            set_={name: insert.excluded[name] for name in _OUTCOME},
            where=SENDS.c.claim == insert.excluded.claim,
        )

    def held(self, *columns: str) -> Any:
        """Read the rows of the same recipients."""
        element, of_a_campaign = self._from(), SENDS.c.campaign_id == sa.bindparam("campaign_id")
        rows = sa.select(*(SENDS.c[name] for name in columns))
        if not self._has_lateral:
            numbers = sa.select(self._value_of("recipient")).select_from(element)
            return rows.where(of_a_campaign, SENDS.c.recipient.in_(numbers))
        # Row by row, because PostgreSQL's planner would read a whole campaign while it does not know the table yet.
        row = rows.where(of_a_campaign, SENDS.c.recipient == self._value_of("recipient")).limit(1).lateral("held")
        return sa.select(*row.c).select_from(element.join(row, sa.true()))

    def _select_rows(self) -> Any:
        columns = [
            self._value_of(column.name)
            if column.name in OF_A_ROW
            else sa.bindparam("now" if column.name.endswith("_at") else column.name, type_=column.type)
            for column in SENDS.c
        ]
        # Without a WHERE, SQLite would take ON CONFLICT for part of a join.
        return sa.select(*columns).select_from(self._from()).where(sa.true())

    def _from(self) -> Any:
        return self._elements.table_valued("value", name="element")

    def _value_of(self, column: str) -> Any:
        value: Any = sa.literal_column(self._field.format(column))
        return value if isinstance(SENDS.c[column].type, sa.String) else sa.cast(value, SENDS.c[column].type)
