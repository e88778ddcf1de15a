"""The ledger's table, and the statements that claim recipients and record outcomes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

#: Names and types of the columns; ``migrations.py`` creates them, with their key.
SENDS = sa.table(
    "kaleyra_sends",
    sa.column("campaign_id", sa.String),
    sa.column("send_key", sa.String),
    sa.column("recipient", sa.String),
    sa.column("state", sa.String),
    sa.column("message_id", sa.Text),
    sa.column("code", sa.Text),
    sa.column("detail", sa.Text),
    sa.column("retryable", sa.Boolean),
    sa.column("ref", sa.Text),
    sa.column("ref1", sa.Text),
    sa.column("ref2", sa.Text),
    sa.column("line", sa.Integer),
    sa.column("fingerprint", sa.String),
    sa.column("claim", sa.String),
    sa.column("dag_id", sa.String),
    sa.column("run_id", sa.String),
    sa.column("task_id", sa.String),
    sa.column("map_index", sa.Integer),
    sa.column("try_number", sa.Integer),
    sa.column("claimed_at", sa.DateTime(timezone=True)),
    sa.column("updated_at", sa.DateTime(timezone=True)),
)
#: The columns that identify a message.
KEY = ["campaign_id", "send_key"]

#: Columns whose values differ between the rows of a statement.
_PER_ROW = "send_key recipient state message_id code detail retryable ref ref1 ref2 line fingerprint claim".split()
_OUTCOME = "state message_id code detail retryable ref ref1 ref2 fingerprint updated_at".split()


class Statements:
    """The statements in one database's dialect.

    Rows come as one JSON text, parameter ``rows``: a parameter for each of their columns would cost more of the
    client's time than the rest of a send.
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
        insert = _INSERTS[dialect](SENDS).from_select([column.name for column in SENDS.c], self._select_rows())
        #: Inserts the claims of keys without a row; existing rows stay as they are.
        self.claim = insert.on_conflict_do_nothing(index_elements=KEY)
        #: Records outcomes: updates the rows of this claim, inserts those that are gone, and leaves another task's.
        self.record = insert.on_conflict_do_update(
            index_elements=KEY,
            set_={name: insert.excluded[name] for name in _OUTCOME},
            where=SENDS.c.claim == insert.excluded.claim,
        )

    def read(self, *columns: str) -> Any:
        """Return the query for those columns of the rows that have the same keys."""
        element, of_campaign = self._from(), SENDS.c.campaign_id == sa.bindparam("campaign_id")
        rows = sa.select(*(SENDS.c[name] for name in columns))
        if not self._has_lateral:
            keys = sa.select(self._value_of("send_key")).select_from(element)
            return rows.where(of_campaign, SENDS.c.send_key.in_(keys))
        # One lookup for each key: without statistics of the table, PostgreSQL would read the whole campaign.
        row = rows.where(of_campaign, SENDS.c.send_key == self._value_of("send_key")).limit(1).lateral("existing")
        return sa.select(*row.c).select_from(element.join(row, sa.true()))

    def _select_rows(self) -> Any:
        columns = [
            self._value_of(column.name)
            if column.name in _PER_ROW
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
