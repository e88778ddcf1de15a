from __future__ import annotations

import io
import json

import pytest

from airflow_provider_kaleyra.campaign.message_builder import Invalid, MessageBuilder
from airflow_provider_kaleyra.campaign.readers import Row, rows_of_csv, rows_of_json_lines, rows_of_list
from airflow_provider_kaleyra.ledger.values import PreparedMessage
from airflow_provider_kaleyra.whatsapp.message import VideoMessage
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule
from tests.campaign.builders import number, prepared, request_for


def csv_rows(text: str) -> list[Row]:
    return list(rows_of_csv(io.StringIO(text, newline="")))


def only(recipient: object, **fields: str) -> PreparedMessage:
    [one] = prepared([recipient], **fields)
    assert isinstance(one, PreparedMessage), one
    return one


def flaw(recipient: object, **fields: str) -> str:
    [one] = prepared([recipient], **fields)
    assert isinstance(one, Invalid), one
    return one.reason


def test_numbers_and_dicts_are_told_by_their_place():
    assert list(rows_of_list([number(1), {"to": number(2), "ref": "b"}])) == [
        Row(1, {"to": number(1)}),
        Row(2, {"to": number(2), "ref": "b"}),
    ]


def test_a_csv_is_read_by_the_names_in_its_first_line():
    assert csv_rows(f" to ,name\n{number(1)},Asha\n\n{number(2)},Ravi\n") == [
        Row(2, {"to": number(1), "name": "Asha"}),
        Row(4, {"to": number(2), "name": "Ravi"}),
    ]


def test_a_row_of_a_csv_that_spans_lines_is_told_by_its_first():
    assert csv_rows(f'to,caption\n{number(1)},"a\nb"\n{number(2)},c\n') == [
        Row(2, {"to": number(1), "caption": "a\nb"}),
        Row(4, {"to": number(2), "caption": "c"}),
    ]


@pytest.mark.parametrize("start", ["name,phone\n", "", "+919800000001\n"])
def test_a_csv_without_a_column_to_is_refused_and_shows_no_number(start):
    with pytest.raises(BrokenRule, match="names a column 'to'") as broken:
        csv_rows(start)
    assert "9800000001" not in str(broken.value)


def test_a_csv_row_that_cannot_be_read_does_not_stop_the_rest():
    rows = csv_rows(f'to,a\n{number(1)},"x"y\n{number(2)},b,c\n{number(3)}\n')
    assert [(row.line, bool(row.flaw)) for row in rows] == [(2, True), (3, True), (4, False)]


def test_a_quote_that_is_never_closed_is_an_invalid_row_that_tells_how_far_it_reaches():
    [row] = csv_rows(f'to,a\n{number(1)},"x\n{number(2)},b\n')
    assert row.line == 2
    assert "up to line 3" in row.flaw


def test_json_lines_hold_numbers_or_objects():
    text = "\n".join([json.dumps(number(1)), "", json.dumps({"to": number(2), "ref": "b"}), "7"])
    assert [(row.line, dict(row.columns), bool(row.flaw)) for row in rows_of_json_lines(io.StringIO(text))] == [
        (1, {"to": number(1)}, False),
        (3, {"to": number(2), "ref": "b"}, False),
        (4, {}, True),
    ]


@pytest.mark.parametrize("line", ['{"to": ', "[" * 100_000, "x" * 3_000_000])
def test_a_json_line_that_cannot_be_read_does_not_stop_the_rest(line):
    rows = list(rows_of_json_lines(io.StringIO(f"{line}\n{json.dumps(number(1))}\n")))
    assert [(row.line, bool(row.flaw)) for row in rows] == [(1, True), (2, False)]
    assert len(rows[0].flaw) < 200


def test_a_json_line_that_is_not_json_shows_no_number():
    [row] = rows_of_json_lines(io.StringIO(f"{number(12345678)}\n"))
    assert "12345678" not in row.flaw


def test_a_rows_own_fields_outweigh_the_operators():
    one = only({"to": number(1), "ref": "own", "ref1": " "}, ref="all", ref1="all1")
    assert (one.message.ref, one.message.ref1) == ("own", "all1")


@pytest.mark.parametrize("own", [{"media_link": "https://example.com/v.mp4"}, {"media_id": "43"}])
def test_a_rows_own_video_replaces_the_operators(own):
    message = only({"to": number(1)} | own).message
    assert {"media_id": message.media_id, "media_link": message.media_link} == {
        "media_id": None,
        "media_link": None,
    } | own


def test_the_operators_caption_is_filled_from_the_row():
    one = only({"to": number(1), "name": "Asha", "n": 3}, caption="Dear $name, ${n} for $$5 to $to")
    assert one.message.caption == f"Dear Asha, 3 for $5 to {number(1)}"


@pytest.mark.parametrize("value", ["$name", "{{ ds }}", "${to}", "%s"])
def test_what_a_row_holds_is_never_a_template(value):
    assert only({"to": number(1), "name": value}, caption="Dear $name").message.caption == f"Dear {value}"
    assert only({"to": number(1), "caption": value}, caption="Dear $name").message.caption == value


def test_a_row_without_a_value_for_the_caption_is_invalid():
    assert "no value in column 'name'" in flaw({"to": number(1), "name": " "}, caption="Dear $name")


def test_a_caption_whose_placeholders_cannot_be_read_is_refused_before_any_row():
    with pytest.raises(BrokenRule, match=r"write \$\$ for a dollar sign"):
        MessageBuilder(VideoMessage, {"media_id": "42", "caption": "only $5"}, request_for)


@pytest.mark.parametrize(
    ("recipient", "told"),
    [
        ("9876543210", "no leading '+'"),
        ("", "missing"),
        ({"name": "Asha"}, "missing"),
        (919876543210, "neither a number as text nor an object"),
        ({"to": number(1), "caption": "x" * 1025}, "at most 1024"),
        ({"to": number(1), "caption": "\udce9"}, "valid Unicode"),
        ({"to": number(1), "media_id": "1", "media_link": "https://example.com/v.mp4"}, "both"),
    ],
)
def test_a_row_that_breaks_a_rule_is_told_with_its_reason(recipient, told):
    assert told in flaw(recipient)


def test_rows_are_read_as_a_stream():
    taken = []

    def endless():
        index = 0
        while True:
            index += 1
            taken.append(index)
            yield Row(index, {"to": number(index)})

    stream = MessageBuilder(VideoMessage, {"media_id": "42"}, request_for).build(endless())
    assert [next(stream).to, next(stream).to] == [number(1), number(2)]
    assert len(taken) == 2


def test_the_fingerprint_is_the_same_for_the_same_message_alone():
    one, same, other = only(number(1)), only(number(1)), only(number(1), caption="x")
    assert one.fingerprint == same.fingerprint != other.fingerprint
