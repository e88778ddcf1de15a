"""Stores for the records that a task writes for its next try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_kaleyra.exceptions import KaleyraStateStoreError
from airflow_provider_kaleyra.once.decisions import SEND_KEY, SendRecord

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

UPLOAD_KEY = "kaleyra_upload"


class RecordStore(Protocol):
    """Store for records, each a small JSON object under its key.

    The records of one store belong together; in Airflow's state store, they belong to one task instance.
    """

    def read(self, key: str) -> Any:
        """Return the record, or None if there is none.

        :raises KaleyraError: the store failed.
        """

    def write(self, key: str, record: dict[str, Any]) -> None:
        """Write the record; it replaces the previous one.

        :raises KaleyraError: the store failed.
        """


class AirflowStateStore(Protocol):
    """The methods of Airflow's ``task_state_store`` that are used."""

    def get(self, key: str) -> Any:
        """Return a value, or None if there is none."""

    def set(self, key: str, value: Any) -> None:
        """Write a value."""


class TaskStateStore:
    """Airflow's task state store, which keeps its records after a kill, a retry and a Clear (Airflow 3.3 and later).

    :param store: the ``task_state_store`` of Airflow's context; with None, nothing is stored.
    """

    def __init__(self, store: AirflowStateStore | None) -> None:
        self._store = store

    @classmethod
    def of(cls, context: Context) -> TaskStateStore:
        """Return the store of the running task instance; before Airflow 3.3, one that stores nothing."""
        return cls(context.get("task_state_store"))

    def read(self, key: str) -> Any:
        """Return the record, or None if there is none.

        :raises KaleyraStateStoreError: the store failed.
        """
        if self._store is None:
            return None
        try:
            return self._store.get(key)
        except Exception as error:  # the store may be any backend
            raise KaleyraStateStoreError("read", error) from error

    def write(self, key: str, record: dict[str, Any]) -> None:
        """Write the record; it replaces the previous one.

        :raises KaleyraStateStoreError: the store failed.
        """
        if self._store is None:
            return
        try:
            self._store.set(key, record)
        except Exception as error:  # the store may be any backend
            raise KaleyraStateStoreError("written", error) from error


class SendRecordStore:
    """Store for the record of a task's last send.

    :param store: the store for all records of the task.
    """

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def read(self) -> SendRecord | None:
        """Return the record, or None if the task has not sent.

        :raises KaleyraError: the store failed.
        """
        value = self._store.read(SEND_KEY)
        return None if value is None else SendRecord.from_json(value)

    def write(self, record: SendRecord) -> None:
        """Write the record; it replaces the previous one.

        :raises KaleyraError: the store failed.
        """
        self._store.write(SEND_KEY, record.to_json())
