"""The endpoints that Kaleyra has."""

from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from airflow_provider_kaleyra.sandbox import answers, contract
from airflow_provider_kaleyra.sandbox.account import SandboxAccount
from airflow_provider_kaleyra.sandbox.answers import Answer
from airflow_provider_kaleyra.sandbox.connection import Hang, NoAnswer, SlowResponse
from airflow_provider_kaleyra.sandbox.mailbox import Mailbox
from airflow_provider_kaleyra.sandbox.media import Media
from airflow_provider_kaleyra.sandbox.scenarios import REDIRECT_TARGET, Ending, Scenario, scenario_of

router = APIRouter()


@dataclass
class Sandbox:
    """What the endpoints share.

    :param redirect_to: where the redirecting scenarios lead.
    """

    account: SandboxAccount
    redirect_to: str
    media: Media = field(default_factory=Media)
    mailbox: Mailbox = field(default_factory=Mailbox)


@router.post("/v2/{sid}/whatsapp/{number}/messages")
async def send_message(request: Request, sid: str, number: str) -> Response:
    """Check a request, find its scenario, act it out."""
    sandbox: Sandbox = request.app.state.sandbox
    user_agent = request.headers.get("user-agent")
    try:
        body = await _read(request)
    except ClientDisconnect:
        return Response()  # nobody is left to read it
    try:
        contract.check_caller(sandbox.account, sid, request.headers.get("api-key"))
        contract.check_number(sandbox.account, number)
        payload = contract.check_message(request.headers.get("content-type"), body)
        contract.check_media(payload, sandbox.media)
    except contract.RefusedError as refused:
        sandbox.mailbox.note(contract.parse(body), refused.answer.status, None, user_agent)
        return respond(refused.answer)
    return _act_out(sandbox, payload, user_agent)


@router.get("/v2/{sid}/whatsapp/{number}/phone_number_details")
async def phone_number_details(request: Request, sid: str, number: str) -> Response:
    """Tell what is known of the business number."""
    account: SandboxAccount = request.app.state.sandbox.account
    try:
        contract.check_caller(account, sid, request.headers.get("api-key"))
        contract.check_number(account, number)
    except contract.RefusedError as refused:
        return respond(refused.answer)
    return respond(answers.phone_number_details(number))


@router.get("/v1/{sid}/callback/profiles")
async def callback_profiles(request: Request, sid: str) -> Response:
    """List the callback profiles, of which the sandbox has none."""
    try:
        contract.check_caller(request.app.state.sandbox.account, sid, request.headers.get("api-key"))
    except contract.RefusedError as refused:
        return respond(refused.answer)
    return respond(answers.NO_PROFILES)


async def _read(request: Request) -> bytes:
    """Read the body, or so much of it that it is known to be too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > contract.MAX_BODY_BYTES:
            break
    return bytes(body)


def _act_out(sandbox: Sandbox, payload: dict[str, Any], user_agent: str | None) -> Response:
    scenario = scenario_of(payload["messaging_object"]["to"])
    if scenario.once and not sandbox.mailbox.put_off(payload):
        scenario = replace(scenario, accepts=True, answer=answers.ACCEPTED)
    answer, message_id = scenario.answer, None
    if scenario.accepts:
        message = payload["messaging_object"]
        media_url = sandbox.media.url_of(message[message["type"]])
        message_id = sandbox.mailbox.accept(sandbox.account.business_phone_number, payload, scenario, media_url)
        answer = answer.with_message_id(message_id)
    response, status = act_out(sandbox, scenario, answer)
    sandbox.mailbox.note(payload, status, message_id, user_agent)
    return response


def act_out(sandbox: Sandbox, scenario: Scenario, answer: Answer) -> tuple[Response, int | str]:
    """How the request ends, with the status that tells of it."""
    match scenario.ending:
        case Ending.CLOSED:
            return NoAnswer(), scenario.ending.value
        case Ending.HUNG:
            return Hang(), scenario.ending.value
    return respond(answer, sandbox.redirect_to, scenario.after_seconds), answer.status


def respond(answer: Answer, redirect_to: str = "", after_seconds: float = 0) -> Response:
    """Say it, at once or late."""
    headers = {name: value.replace(REDIRECT_TARGET, redirect_to) for name, value in answer.headers}
    if not after_seconds:
        return Response(answer.body, answer.status, headers, answer.media_type)
    response = SlowResponse(answer.body, answer.status, headers, answer.media_type)
    response.after_seconds = after_seconds
    return response
