"""How a request reaches Kaleyra: ``blocking`` and ``aio``, two thin shells over the same plain values."""

from airflow_provider_kaleyra import __version__

USER_AGENT = f"airflow-provider-kaleyra/{__version__}"
CONNECT_TIMEOUT = 10.0
# Kaleyra's answers are some hundred bytes; what is longer is noise that need not fill the memory.
LONGEST_ANSWER = 1 << 20
