"""What a campaign needs of the installation and of the process."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_kaleyra.campaign.requirements import affordable_connections, require_extra
from airflow_provider_kaleyra.exceptions import KaleyraConfigError
from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator


def test_with_them_nothing_is_raised():
    require_extra()


@pytest.mark.parametrize(("module", "name"), [("aiohttp", "aiohttp"), ("sqlalchemy", "SQLAlchemy")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    operator = KaleyraSendVideoCampaignOperator(
        task_id="send", campaign_id="c", recipients=["+12025550123"], media_id="42", ledger_conn_id="l"
    )
    with pytest.raises(
        KaleyraConfigError, match=rf"cannot be sent: {name} not installed.*airflow-provider-kaleyra\[postgres\]"
    ):
        operator.execute({})


@pytest.fixture
def allow_files() -> Iterator[Callable[[int], None]]:
    """Allow this process so many open files more than it has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def allow(more: int) -> None:
        limit = len(os.listdir("/proc/self/fd")) + more  # noqa: PTH208 - counted, not opened one by one
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))

    yield allow
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_process_with_few_files_left_opens_fewer_connections(allow_files, caplog):
    allow_files(100)
    connections = affordable_connections(1000)
    assert 50 <= connections <= 100
    assert f"max_connections is reduced from 1000 to {connections}" in caplog.text


def test_a_process_with_enough_files_left_opens_all_connections(allow_files, caplog):
    allow_files(100)
    assert affordable_connections(20) == 20
    assert caplog.text == ""


def test_a_process_with_hardly_a_file_left_sends_nothing(allow_files):
    allow_files(20)
    with pytest.raises(KaleyraConfigError, match=r"cannot open connections: .*Nothing was sent.*ulimit -n"):
        affordable_connections(100)
