"""A campaign without the packages of its extra."""

from __future__ import annotations

import sys

import pytest

from airflow_provider_kaleyra.campaign.requirements import require_extra
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
