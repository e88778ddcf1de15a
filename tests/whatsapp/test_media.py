"""The source of a message's media, as a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_kaleyra.whatsapp.media import MediaFile, MediaId, MediaLink, media_source
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

TO = "+919876543210"
LINK = "https://www.awesomeview.com/assets/awesome-view.mp4"


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"media_id": " 42 "}, MediaId("42")),
        ({"media_id": 42, "media_link": " "}, MediaId("42")),
        ({"media_link": f"{LINK}\n"}, MediaLink(LINK)),
        ({"media_file": " s3://bucket/v.mp4 "}, MediaFile("s3://bucket/v.mp4")),
        ({"media_file": Path("v.mp4"), "media_id": ""}, MediaFile(Path("v.mp4"))),
    ],
)
def test_the_one_source_that_is_given_is_the_value(fields, source):
    assert media_source(**fields) == source
    assert VideoMessage(to=TO, **fields).media == source


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, "neither"),
        ({"media_file": "  "}, "neither"),
        ({"media_id": "42", "media_link": LINK}, "both"),
        ({"media_file": "v.mp4", "media_id": "42"}, "media_file with another"),
        ({"media_file": Path("v.mp4"), "media_link": LINK}, "media_file with another"),
        ({"media_file": "None"}, "a template rendered a missing value"),
    ],
)
def test_anything_but_one_usable_source_breaks_a_rule(fields, found):
    with pytest.raises(BrokenRule) as broken:
        VideoMessage(to=TO, **fields)
    assert found in str(broken.value)


def test_a_message_with_a_file_is_checked_but_cannot_be_sent_before_the_upload():
    message = VideoMessage(to=TO, media_file="v.mp4", caption="Diwali", ref="r")
    with pytest.raises(ValueError, match="uploaded first"):
        message.body()
    assert message.uploaded("42") == VideoMessage(to=TO, media_id="42", caption="Diwali", ref="r")
