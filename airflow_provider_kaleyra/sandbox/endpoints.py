"""Kaleyra's endpoints for messages and for reading the account."""

from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from airflow_provider_kaleyra.sandbox import contract, responses
from airflow_provider_kaleyra.sandbox.account import SandboxAccount
from airflow_provider_kaleyra.sandbox.connection import CloseConnection, Hang, SlowResponse
from airflow_provider_kaleyra.sandbox.history import History
from airflow_provider_kaleyra.sandbox.media import Media
from airflow_provider_kaleyra.sandbox.responses import ResponseData
from airflow_provider_kaleyra.sandbox.scenarios import REDIRECT_TARGET, Ending, Scenario, scenario_of

router = APIRouter()


@dataclass
class Sandbox:
    """State that all endpoints share.

    :param redirect_to: URL that the redirect scenarios name in Location.
    """

    account: SandboxAccount
    redirect_to: str
    media: Media = field(default_factory=Media)
    history: History = field(default_factory=History)


@router.post("/v2/{sid}/whatsapp/{number}/messages")
async def send_message(request: Request, sid: str, number: str) -> Response:
    """Check a request, then respond as the scenario of its recipient says."""
    sandbox: Sandbox = request.app.state.sandbox
    user_agent = request.headers.get("user-agent")
    try:
        body = await _read(request)
    except ClientDisconnect:
        return Response()  # the client does not receive it
    try:
        contract.check_caller(sandbox.account, sid, request.headers.get("api-key"))
        contract.check_number(sandbox.account, number)
        payload = contract.check_message(request.headers.get("content-type"), body)
        contract.check_media(payload, sandbox.media)
    except contract.RejectedError as rejected:
        sandbox.history.add_request(contract.parse(body), rejected.response.status, None, user_agent)
        return http_response(rejected.response)
    return _run_scenario(sandbox, payload, user_agent)


@router.get("/v2/{sid}/whatsapp/{number}/phone_number_details")
async def phone_number_details(request: Request, sid: str, number: str) -> Response:
    """Return the details of the business phone number."""
    account: SandboxAccount = request.app.state.sandbox.account
    try:
        contract.check_caller(account, sid, request.headers.get("api-key"))
        contract.check_number(account, number)
    except contract.RejectedError as rejected:
        return http_response(rejected.response)
    return http_response(responses.phone_number_details(number))


@router.get("/v1/{sid}/callback/profiles")
async def callback_profiles(request: Request, sid: str) -> Response:
    """Return the callback profiles: the sandbox has none."""
    try:
        contract.check_caller(request.app.state.sandbox.account, sid, request.headers.get("api-key"))
    except contract.RejectedError as rejected:
        return http_response(rejected.response)
    return http_response(responses.NO_PROFILES)


async def _read(request: Request) -> bytes:
    """Return the body, or a part of it that exceeds the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > contract.MAX_BODY_BYTES:
            break
    return bytes(body)


def _run_scenario(sandbox: Sandbox, payload: dict[str, Any], user_agent: str | None) -> Response:
    scenario = scenario_of(payload["messaging_object"]["to"])
    if scenario.once and not sandbox.history.reject_this_time(payload):
        scenario = replace(scenario, accepts=True, response=responses.ACCEPTED)
    data, message_id = scenario.response, None
    if scenario.accepts:
        message = payload["messaging_object"]
        media_url = sandbox.media.url_of(message[message["type"]])
        message_id = sandbox.history.add_message(sandbox.account.business_phone_number, payload, scenario, media_url)
        data = data.with_message_id(message_id)
    response, status = scenario_response(sandbox, scenario, data)
    sandbox.history.add_request(payload, status, message_id, user_agent)
    return response


def scenario_response(sandbox: Sandbox, scenario: Scenario, data: ResponseData) -> tuple[Response, int | str]:
    """Return the response that ends the request as the scenario says, and the status to record for it."""
    match scenario.ending:
        case Ending.CLOSED:
            return CloseConnection(), scenario.ending.value
        case Ending.HUNG:
            return Hang(), scenario.ending.value
    return http_response(data, sandbox.redirect_to, scenario.after_seconds), data.status


def http_response(data: ResponseData, redirect_to: str = "", after_seconds: float = 0) -> Response:
    """Return *data* as a response that the server can send.

    :param redirect_to: URL that replaces the placeholder in the Location header.
    :param after_seconds: delay before the response is sent.
    """
    headers = {name: value.replace(REDIRECT_TARGET, redirect_to) for name, value in data.headers}
    if not after_seconds:
        return Response(data.body, data.status, headers, data.media_type)
    response = SlowResponse(data.body, data.status, headers, data.media_type)
    response.after_seconds = after_seconds
    return response
