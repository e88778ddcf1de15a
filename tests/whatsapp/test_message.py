from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.phone_number import masked
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule

TO = "+919876543210"
LINK = "https://www.awesomeview.com/assets/awesome-view.mp4"


def message(**fields: object) -> VideoMessage:
    return VideoMessage(**{"to": TO, "media_id": "1166846181421424"} | fields)  # type: ignore[arg-type]


def test_every_field_is_where_the_page_has_it():
    full = message(
        caption="Splendid festive celebrations", ref="customer1", ref1="marketing", ref2="d", wa_source="api"
    )
    assert full.payload() == {
        "messaging_object": {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": TO,
            "type": "video",
            "video": {"id": "1166846181421424", "caption": "Splendid festive celebrations"},
        },
        "extra_info": {"ref": "customer1", "ref1": "marketing", "ref2": "d", "wa_source": "api"},
    }


def test_fields_without_a_value_are_absent():
    payload = message(media_id="", media_link=LINK, caption=" ", ref=None).payload()
    assert payload["messaging_object"]["video"] == {"link": LINK}
    assert "extra_info" not in payload


def test_body_is_utf8_json_of_the_payload():
    festive = message(caption="उत्सव 🎉")
    assert json.loads(festive.body().decode()) == festive.payload()
    assert "उत्सव 🎉".encode() in festive.body()


def test_blanks_around_number_and_media_are_removed():
    assert message(to=f" {TO}\n", media_id="\n42 ").payload()["messaging_object"]["to"] == TO


def test_numbers_from_native_rendering_become_text():
    assert message(media_id=1166846181421424, ref=7).payload()["extra_info"] == {"ref": "7"}


@pytest.mark.parametrize(
    ("fields", "field", "expected"),
    [
        ({"to": None}, "to", "missing"),
        ({"to": "  "}, "to", "missing"),
        ({"to": "918631235920"}, "to", "no leading '+'"),
        ({"to": 918631235920}, "to", "no leading '+'"),
        ({"to": "+91 98765 43210"}, "to", "other than digits"),
        ({"to": "+९१९८७६५४३२१०"}, "to", "other than digits"),
        ({"to": "+0123456789"}, "to", "starts with 0"),
        ({"to": "+12345"}, "to", "5 digits"),
        ({"to": "+1234567890123456"}, "to", "16 digits"),
        ({"to": "None"}, "to", "template"),
        ({"media_id": "None"}, "media_id", "template"),
        ({"media_id": None, "media_link": "None"}, "media_link", "template"),
        ({"media_id": None}, "media_id or media_link", "neither"),
        ({"media_link": LINK}, "media_id or media_link", "both"),
        ({"media_id": None, "media_link": "assets/view.mp4"}, "media_link", "assets/view.mp4"),
        ({"media_id": None, "media_link": "s3://bucket/view.mp4"}, "media_link", "s3://"),
        ({"media_id": None, "media_link": "https:///view.mp4"}, "media_link", "https:///"),
        ({"media_id": None, "media_link": "https://a b/view.mp4"}, "media_link", "a b"),
        ({"media_id": None, "media_link": "https://[view.mp4"}, "media_link", "["),
        ({"caption": "x" * 1025}, "caption", "1025"),
        ({"ref": "x" * 256}, "ref", "256"),
        ({"ref1": "x" * 256}, "ref1", "256"),
        ({"ref2": "x" * 256}, "ref2", "256"),
        ({"ref": ["a"]}, "ref", "list"),
        ({"media_id": True}, "media_id", "bool"),
        ({"caption": "\ud83c"}, "caption", "surrogate"),
    ],
)
def test_a_broken_rule_names_field_rule_and_value(fields, field, expected):
    with pytest.raises(BrokenRule) as broken:
        message(**fields)
    assert broken.value.field == field
    assert expected in str(broken.value)
    assert not (isinstance(fields.get("to"), str) and len(fields["to"]) > 6 and fields["to"] in str(broken.value))


def test_values_at_the_limits_are_valid():
    assert message(caption="ü" * 1024, ref="x" * 255, ref1="x" * 255, ref2="x" * 255)


@pytest.mark.parametrize("wa_source", [None, "", "api", "moengage", "API"])
def test_a_known_source_gives_no_warning(wa_source):
    assert message(wa_source=wa_source).warnings == ()


def test_an_unknown_source_is_sent_with_a_warning():
    unknown = message(wa_source="airflow")
    assert unknown.payload()["extra_info"] == {"wa_source": "airflow"}
    assert "'airflow'" in unknown.warnings[0]
    assert "'API'" in unknown.warnings[0]


@given(
    st.fixed_dictionaries(
        {"to": st.one_of(st.just(TO), st.text())},
        optional={
            name: st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text()), st.binary())
            for name in ("media_id", "media_link", "caption", "ref", "ref1", "ref2", "wa_source")
        },
    )
)
def test_any_values_are_a_message_or_a_broken_rule(fields):
    try:
        message = VideoMessage(**fields)
    except BrokenRule:
        return
    payload = json.loads(message.body())
    sent = [payload["messaging_object"]["to"], *payload["messaging_object"]["video"].values()]
    assert all(isinstance(value, str) and value.strip() for value in [*sent, *payload.get("extra_info", {}).values()])


@given(st.text(max_size=40))
def test_a_masked_number_shows_at_most_five_characters(number):
    hidden = masked(number)
    assert len(hidden.replace("*", "")) <= 5
    assert len(number) < 8 or "*" in hidden


def test_a_masked_number_can_still_be_recognised():
    assert masked(TO) == "+91********10"


def test_repr_masks_the_recipient():
    message = VideoMessage(to="+919876543210", media_id="1", caption="For +919876543210")
    assert repr(message) == f"<VideoMessage to {masked('+919876543210')}>"
    assert "9876543210" not in repr(message)
