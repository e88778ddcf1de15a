"""The sandbox as an ASGI application: Kaleyra's endpoints, the page, and the endpoints that list what arrived."""

import json
from collections.abc import Iterable
from importlib.resources import files

from fastapi import FastAPI, Query, Request, Response
from starlette.responses import FileResponse

from airflow_provider_kaleyra.sandbox import endpoints, responses, uploads
from airflow_provider_kaleyra.sandbox.account import SandboxAccount
from airflow_provider_kaleyra.sandbox.media import SAMPLE_MEDIA_ID, Media
from airflow_provider_kaleyra.sandbox.scenarios import SCENARIOS

DEFAULT_REDIRECT_TO = "http://other-host.invalid/"

_PAGE = {
    "": ("index.html", responses.HTML),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "phone.js": ("phone.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
_PAGE_HEADERS = {
    # Only the videos may come from another host: from the links in the messages.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "media-src http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def create_app(
    account: SandboxAccount | None = None,
    redirect_to: str = DEFAULT_REDIRECT_TO,
    media_ids: Iterable[str] = (SAMPLE_MEDIA_ID,),
) -> FastAPI:
    """Return a new sandbox, with its own account, media and history.

    :param account: simulated account.
    :param redirect_to: URL that the redirect scenarios name in Location.
    :param media_ids: ids of media that the account has from the start.
    """
    # FastAPI's documentation pages would load scripts from another host.
    app = FastAPI(title="Sandbox of Kaleyra", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sandbox = endpoints.Sandbox(account or SandboxAccount(), redirect_to, Media(media_ids))
    app.include_router(endpoints.router)
    app.include_router(uploads.router)
    app.add_api_route("/sandbox/account", _account)
    app.add_api_route("/sandbox/scenarios", _scenarios)
    app.add_api_route("/sandbox/messages", _messages)
    app.add_api_route("/sandbox/messages", _delete_messages, methods=["DELETE"])
    app.add_api_route("/sandbox/requests", _requests)
    app.add_api_route("/sandbox/uploads", _uploads)
    app.add_api_route("/sandbox/uploads", _delete_uploads, methods=["DELETE"])
    app.add_api_route("/sandbox/media/{media_id}", _media)
    app.add_api_route("/", _page)
    app.add_api_route("/sandbox/page/{name}", _page)
    return app


async def _account(request: Request) -> Response:
    account = _sandbox(request).account
    return _json(
        {"sid": account.sid, "api_key": account.api_key, "business_phone_number": account.business_phone_number}
    )


async def _scenarios() -> Response:
    return _json(
        [
            {"number": scenario.number, "name": scenario.name, "what_happens": scenario.what_happens}
            for scenario in SCENARIOS
        ]
    )


async def _messages(request: Request, after: str | None = Query(default=None)) -> Response:
    """Return the accepted messages, or those after one of them; 404 if that one is not stored."""
    history = _sandbox(request).history
    found = history.messages if after is None else history.messages_after(after)
    return _json({"error": f"no message {after}"}, 404) if found is None else _json(found)


async def _delete_messages(request: Request) -> Response:
    _sandbox(request).history.clear()
    return Response(status_code=204)


async def _requests(request: Request) -> Response:
    return _json(_sandbox(request).history.requests)


async def _uploads(request: Request) -> Response:
    return _json(_sandbox(request).media.uploads_as_dicts())


async def _delete_uploads(request: Request) -> Response:
    _sandbox(request).media.clear()
    return Response(status_code=204)


async def _media(request: Request, media_id: str) -> Response:
    found = _sandbox(request).media.find(media_id)
    if found is None:
        return _json({"error": "no such media"}, 404)
    path, media_type = found
    # The sender chose the content, so browsers must not interpret it as anything but a video.
    return FileResponse(path, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})


async def _page(name: str = "") -> Response:
    if name not in _PAGE:
        return _json({"error": "no such file"}, 404)
    file, media_type = _PAGE[name]
    content = files(__package__).joinpath("page", file).read_bytes()
    return Response(content, media_type=media_type, headers=_PAGE_HEADERS)


def _sandbox(request: Request) -> endpoints.Sandbox:
    sandbox: endpoints.Sandbox = request.app.state.sandbox
    return sandbox


def _json(value: object, status: int = 200) -> Response:
    # JSON in ASCII can represent any text that a client may have sent.
    return Response(json.dumps(value), status, {"Cache-Control": "no-store"}, responses.JSON)
