"""How a request reaches Kaleyra: ``blocking`` and ``aio``, two thin layers that share every rule."""

from airflow_provider_kaleyra import __version__

# Responses are some hundred bytes: to compress them saves nothing, and a compressed one can grow without limit.
HEADERS = {"User-Agent": f"airflow-provider-kaleyra/{__version__}", "Accept-Encoding": "identity"}
CONNECT_TIMEOUT = 10.0
# A longer response is cut, so that it cannot fill the memory.
MAX_RESPONSE_BYTES = 1 << 20
# Seconds after which an idle connection is not used again. Many servers close one after 5 s (Apache, Node.js,
# uvicorn): a message that meets the close on its way has an unknown outcome, a new connection costs far less.
LONGEST_IDLE = 4.0


def keeps_connection(status: int) -> bool:
    """Return whether the connection can carry another request after a response of that status.

    After 408 and 5xx, a second response for the same request may still follow (a gateway gave up, its backend did
    not), and HTTP/1.1 could not tell it from the response for the next message.
    """
    return status < 500 and status != 408
