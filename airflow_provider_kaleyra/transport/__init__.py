"""Transports for requests to Kaleyra: ``blocking`` over requests, ``aio`` over aiohttp; both follow the same rules."""

from airflow_provider_kaleyra import __version__

# Responses have some hundred bytes: compression saves nothing, and a compressed response can expand without limit.
HEADERS = {"User-Agent": f"airflow-provider-kaleyra/{__version__}", "Accept-Encoding": "identity"}
#: Seconds to connect, proxy and TLS included.
CONNECT_TIMEOUT = 10.0
#: A longer response is cut, so that it cannot fill the memory.
MAX_RESPONSE_BYTES = 1 << 20
#: Seconds after which an idle connection is not used again. Many servers close one after 5 s (Apache, Node.js,
#: uvicorn). If a server closes while a message is in flight, its outcome is unknown; a new connection costs far less.
LONGEST_IDLE = 4.0


def keeps_connection(status: int) -> bool:
    """Return whether the connection can carry another request after a response of that status.

    After 408 and 5xx, a second response to the same request may follow: a gateway timed out, but the server behind it
    still responds. In HTTP/1.1 that looks like the response to the next message.
    """
    return status < 500 and status != 408
