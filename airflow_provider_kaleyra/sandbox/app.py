"""The sandbox as an ASGI application: Kaleyra's endpoints, beside those that show what came."""

import json
from collections.abc import Iterable
from importlib.resources import files

from fastapi import FastAPI, Query, Request, Response
from starlette.responses import FileResponse

from airflow_provider_kaleyra.sandbox import answers, endpoints, uploads
from airflow_provider_kaleyra.sandbox.account import SandboxAccount
from airflow_provider_kaleyra.sandbox.media import SAMPLE_MEDIA_ID, Media
from airflow_provider_kaleyra.sandbox.scenarios import SCENARIOS

DEFAULT_REDIRECT_TO = "http://other-host.invalid/"

_PAGE = {
    "": ("index.html", answers.HTML),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "phone.js": ("phone.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
_PAGE_HEADERS = {
    # The videos' own links are all that may come from elsewhere.
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
    """Build a sandbox with a mailbox of its own.

    :param redirect_to: where the redirecting scenarios lead.
    :param media_ids: media that the account has from the start.
    """
    # FastAPI's own documentation pages would load scripts from elsewhere.
    app = FastAPI(title="Sandbox of Kaleyra", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sandbox = endpoints.Sandbox(account or SandboxAccount(), redirect_to, Media(media_ids))
    app.include_router(endpoints.router)
    app.include_router(uploads.router)
    app.add_api_route("/sandbox/account", _account)
    app.add_api_route("/sandbox/scenarios", _scenarios)
    app.add_api_route("/sandbox/messages", _messages)
    app.add_api_route("/sandbox/messages", _clear, methods=["DELETE"])
    app.add_api_route("/sandbox/requests", _requests)
    app.add_api_route("/sandbox/uploads", _uploads)
    app.add_api_route("/sandbox/uploads", _forget_uploads, methods=["DELETE"])
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
    """Tell what was accepted; 404 if *after* names a message that is not here any more."""
    mailbox = _sandbox(request).mailbox
    found = mailbox.messages if after is None else mailbox.after(after)
    return _json({"error": f"no message {after}"}, 404) if found is None else _json(found)


async def _clear(request: Request) -> Response:
    _sandbox(request).mailbox.clear()
    return Response(status_code=204)


async def _requests(request: Request) -> Response:
    return _json(_sandbox(request).mailbox.requests)


async def _uploads(request: Request) -> Response:
    return _json(_sandbox(request).media.told())


async def _forget_uploads(request: Request) -> Response:
    _sandbox(request).media.clear()
    return Response(status_code=204)


async def _media(request: Request, media_id: str) -> Response:
    found = _sandbox(request).media.find(media_id)
    if found is None:
        return _json({"error": "no such media"}, 404)
    path, media_type = found
    # The sender chose the bytes: as a video they may be played, as nothing else.
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
    # Escaped to ASCII, so that whatever text a client sent can be written out again.
    return Response(json.dumps(value), status, {"Cache-Control": "no-store"}, answers.JSON)
