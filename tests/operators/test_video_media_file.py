"""Sending a file: uploaded first, once for all tries of the task."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_kaleyra.exceptions import (
    KaleyraMessageError,
    KaleyraPermanentError,
    KaleyraRejectedError,
    KaleyraUploadError,
)
from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator
from tests.operators.conftest import Store, uploads

TO, LOW_BALANCE = "+12025550123", "+999000000110"


def operator(**fields) -> KaleyraSendVideoOperator:
    return KaleyraSendVideoOperator(**{"task_id": "send", "to": TO} | fields)


def execute(store=None, *, try_number=1, max_tries=3, **fields) -> str:
    ti = SimpleNamespace(try_number=try_number, max_tries=max_tries, map_index=-1)
    return operator(**fields).execute({"ti": ti} | ({} if store is None else {"task_state_store": store}))


def requests(sandbox) -> int:
    return len(sandbox.get("/sandbox/requests").json())


def test_the_file_is_uploaded_then_sent(sandbox, video):
    message_id = execute(media_file=f"file://{video}", caption="Diwali", ref="r")
    (media_id,) = uploads(sandbox)
    (message,) = sandbox.get("/sandbox/messages").json()
    assert message["message_id"] == message_id
    assert message["content"] == {"id": media_id, "caption": "Diwali"}
    assert message["extra_info"] == {"ref": "r"}


def test_the_file_is_templated(sandbox, video):
    one = operator(media_file="{{ folder }}/v.mp4")
    one.render_template_fields({"folder": str(video.parent)})
    assert one.execute({})
    assert len(uploads(sandbox)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"media_file": ""},
        {"media_file": "v.mp4", "media_id": "42"},
        {"media_file": "v.mp4", "media_link": "https://x/v.mp4"},
    ],
)
def test_anything_but_one_source_fails_when_the_dag_is_parsed(fields):
    with pytest.raises(KaleyraMessageError, match="media_id, media_link"):
        operator(**fields)


def test_two_sources_that_rendered_send_nothing(sandbox, video):
    one = operator(media_file="{{ video }}", media_id="{{ 42 }}")
    one.render_template_fields({"video": str(video)})
    with pytest.raises(KaleyraMessageError, match="exactly one of media_id, media_link and media_file"):
        one.execute({})
    assert uploads(sandbox) == []


def test_two_sources_of_which_one_renders_to_nothing_are_one(sandbox, video):
    one = operator(media_file="{{ video }}", media_link="{{ link }}")
    one.render_template_fields({"video": str(video), "link": ""})
    assert one.execute({})


def test_a_wrong_recipient_costs_no_upload(sandbox, video):
    with pytest.raises(KaleyraMessageError, match="to must be"):
        execute(to="12025550123", media_file=str(video))
    assert uploads(sandbox) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("account-not-enabled.mp4", KaleyraPermanentError),
        ("low-balance.mp4", KaleyraRejectedError),
        ("accepted-empty-body.mp4", KaleyraUploadError),
    ],
)
def test_nothing_is_sent_if_the_upload_fails(sandbox, video, name, kind):
    store = Store()
    with pytest.raises(kind, match=name):
        execute(store, media_file=str(video.rename(video.with_name(name))))
    assert requests(sandbox) == 0
    assert "kaleyra_send" not in store


def test_a_retry_sends_what_the_first_try_uploaded(sandbox, video):
    store = Store()
    for try_number in (1, 2):
        with pytest.raises(KaleyraRejectedError):
            execute(store, try_number=try_number, to=LOW_BALANCE, media_file=str(video))
    assert len(uploads(sandbox)) == 1
    assert requests(sandbox) == 2
    assert set(store) == {"kaleyra_send", "kaleyra_upload"}


def test_without_a_store_each_try_uploads(sandbox, video):
    for _ in range(2):
        with pytest.raises(KaleyraRejectedError):
            execute(to=LOW_BALANCE, media_file=str(video))
    assert len(uploads(sandbox)) == 2


def test_an_accepted_send_needs_neither_file_nor_upload_again(sandbox, video):
    store = Store()
    message_id = execute(store, media_file=str(video))
    video.unlink()
    assert execute(store, try_number=2, media_file=str(video)) == message_id
    assert (len(uploads(sandbox)), requests(sandbox)) == (1, 1)


def test_a_clear_does_not_send_an_accepted_file_again(sandbox, video):
    store = Store()
    message_id = execute(store, media_file=str(video))
    assert execute(store, try_number=2, max_tries=4, media_file=str(video)) == message_id
    assert (len(uploads(sandbox)), requests(sandbox)) == (1, 1)


def test_a_dry_run_checks_the_file_and_uploads_nothing(sandbox, video, logged):
    operator(media_file=str(video)).dry_run()
    said = logged()
    assert "would be uploaded first" in said
    assert "video/mp4" in said
    assert uploads(sandbox) == []
    video.write_bytes(b"")
    with pytest.raises(KaleyraMessageError, match="empty file"):
        operator(media_file=str(video)).dry_run()


def test_the_upload_uses_the_senders_number(sandbox, video):
    with pytest.raises(KaleyraPermanentError, match="WA401"):
        execute(media_file=str(video), business_phone_number="+12025550199")
    assert requests(sandbox) == 0
