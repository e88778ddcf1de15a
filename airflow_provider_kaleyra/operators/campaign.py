"""The operator that sends one WhatsApp video to many people, each of them once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_kaleyra.message_fields import SENDER_FIELDS
from airflow_provider_kaleyra.operators._campaign import CAMPAIGN_FIELDS, SendCampaignOperator
from airflow_provider_kaleyra.whatsapp.message import SHARED_FIELDS, VideoMessage

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow_provider_kaleyra.ledger.values import OnUnknown


class KaleyraSendVideoCampaignOperator(SendCampaignOperator):
    """
    Send one WhatsApp video to many people, each of them once, and return a summary.

    A table in your own database, the ledger, records what was sent to whom. Each recipient is claimed there before the
    video is sent, so that neither a retry, a Clear, a backfill, a second worker nor a killed process sends it again
    within the same *campaign_id*; see ``docs/campaigns.md``.

    :param campaign_id: the id of the campaign; sending a new video to the same people needs a new one. At most 250
        characters, none of them a control character; surrounding blanks are removed.
    :param recipients: a list of numbers, a list of dicts, an XCom of either, or the path or URL of a CSV file
        (``.csv``, its first line names the columns) or JSON Lines file (``.jsonl``, ``.ndjson``), read as a stream. A
        row needs a ``to``; its other fields of the message override the operator's.
    :param ledger_conn_id: the id of the Connection of a PostgreSQL or SQLite database.
    :param media_id: the id of media uploaded to Kaleyra; one of this, *media_link* and *media_file*, unless every row
        names its own source.
    :param media_link: the absolute http(s) URL of a public video.
    :param media_file: a path that the worker can read, or a URL that Airflow's ``ObjectStoragePath`` opens: a video
        that is uploaded once, before anybody is claimed; see ``docs/media.md``.
    :param caption: text below the video; ``$column`` becomes the value in the recipient's row, ``$$`` a dollar sign.
    :param ref: any text that identifies the message in Kaleyra's reports and callbacks, at most 255 characters.
    :param ref1: a second text like *ref*.
    :param ref2: a third text like *ref*.
    :param wa_source: what triggered the message, one of Kaleyra's 13 values; any other is recorded as "API".
    :param business_phone_number: the sender; overrides the Connection's.
    :param kaleyra_conn_id: the id of the Connection, of type ``kaleyra``.
    :param on_unknown_outcome: what to do with a recipient whose message an earlier try transmitted, and Kaleyra may or
        may not have accepted: ``skip`` and report the recipient, or ``resend``, possibly for the second time.
    :param messages_per_second: the maximum number of messages sent in any second by this task; below 1, the maximum
        in its inverse in seconds.
    :param max_connections: the maximum number of messages in flight, at most 10,000; reduced, with a warning, if the
        process may not open so many connections.
    :param checkpoint_every: the maximum number of recipients claimed, or outcomes recorded, in one transaction.
    :param max_failures: the number of failures above which the campaign stops, or their share of the recipients, such
        as 0.05; None for no limit. Rejected messages and unknown outcomes of earlier tries count as failures. A share
        is checked from 100 recipients on, and at the end.
    :param strict: read all rows first, and send nothing if one of them is invalid; *recipients* cannot be an iterator.
    :param dry_run: check every row and return the summary; neither Kaleyra nor the ledger is used.
    :raises KaleyraMessageError: the recipients or a field cannot be used; nothing was sent, no retry.
    :raises KaleyraConfigError: a setting or a Connection cannot be used; nothing was sent, no retry.
    :raises KaleyraConnectionUnreadableError: Airflow could not read a Connection; nothing was sent, Airflow retries.
    :raises KaleyraUnusableFileError: a file is missing or may not be read; nothing was sent, no retry.
    :raises KaleyraFileError: reading the recipients or *media_file* failed; Airflow's retry continues.
    :raises KaleyraUploadError: the upload returned no media id; nothing was sent, Airflow retries.
    :raises KaleyraRejectedError: Kaleyra rejected the upload of *media_file*; nothing was sent.
    :raises KaleyraUnreachableError: no connection for the upload could be opened; nothing was sent, Airflow retries.
    :raises KaleyraCampaignError: the campaign is not complete; Airflow's retry continues.
    :raises KaleyraCampaignFailedError: the campaign is not complete, and somebody has to fix the cause; no retry.
    :raises KaleyraLedgerError: the ledger's database failed; Airflow retries.
    """

    message_type = VideoMessage
    message_fields: ClassVar[tuple[str, ...]] = (*SHARED_FIELDS, "media_file")
    template_fields: Sequence[str] = (*CAMPAIGN_FIELDS, *message_fields, *SENDER_FIELDS)

    def __init__(
        self,
        *,
        campaign_id: str,
        recipients: Any,
        ledger_conn_id: str,
        media_id: str | None = None,
        media_link: str | None = None,
        media_file: str | os.PathLike[str] | None = None,
        caption: str | None = None,
        ref: str | None = None,
        ref1: str | None = None,
        ref2: str | None = None,
        wa_source: str | None = None,
        business_phone_number: str | None = None,
        kaleyra_conn_id: str = "kaleyra_default",
        on_unknown_outcome: OnUnknown = "skip",
        messages_per_second: float = 20.0,
        max_connections: int = 100,
        checkpoint_every: int = 100,
        max_failures: float | None = 0.05,
        strict: bool = False,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_fields(locals())
