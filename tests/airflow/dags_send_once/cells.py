"""The cells of the fault matrix in docs/failures.md: the fault, and the settings of the task."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

RETRIES = 1


@dataclass(frozen=True)
class Cell:
    """One task of the matrix.

    :param fault: name of the row in docs/failures.md.
    :param to: recipient's number, which selects the scenario of the sandbox.
    :param kill: point at which the first try is killed.
    :param store: number of the write to the task state store that fails in the first try.
    :param execution_timeout: the task's execution_timeout in seconds.
    :param varying: whether a template renders differently in every try.
    """

    fault: str
    to: str
    on_unknown_outcome: str = "fail"
    kaleyra_conn_id: str = "kaleyra_default"
    kill: str | None = None
    store: int | None = None
    execution_timeout: float | None = None
    varying: bool = False

    @property
    def row(self) -> tuple[str, str]:
        return self.fault, self.on_unknown_outcome


SLOW = "+999000000904"
HANG_AFTER_ACCEPTING = "+999000001901"
ANYBODY = "+12025550123"

_SANDBOX = {
    "wrong-sid-or-key": "+999000000401",
    "wrong-business-number": "+999000001401",
    "account-not-enabled": "+999000002401",
    "number-of-other-version": "+999000003401",
    "incorrect-payload": "+999000000400",
    "low-balance": "+999000000110",
    "internal-error": "+999000000500",
    "daily-limit": "+999000002101",
    "too-many-requests": "+999000000429",
    "too-many-requests-retry-after": "+999000001429",
    "too-many-requests-once": "+999000002429",
    "too-many-requests-for-long": "+999000003429",
    "overloaded": "+999000000503",
    "overloaded-retry-after": "+999000001503",
    "internal-error-html": "+999000001500",
    "bad-gateway": "+999000000502",
    "gateway-timeout": "+999000000504",
    "redirect-302": "+999000000302",
    "redirect-307": "+999000000307",
    "hang": "+999000000901",
    "hang-after-accepting": HANG_AFTER_ACCEPTING,
    "close-before-accepting": "+999000000902",
    "close-after-accepting": "+999000000903",
    "slow-response": SLOW,
    "accepted-invalid-json": "+999000000202",
    "accepted-empty-body": "+999000001202",
    "accepted-wa200": "+999000000200",
    "failure-in-200": "+999000001200",
}
_OTHER_CELLS = [
    Cell("no fault", ANYBODY),
    Cell("Kaleyra cannot be reached", ANYBODY, kaleyra_conn_id="kaleyra_unreachable"),
    Cell("Connection without an API key", ANYBODY, kaleyra_conn_id="kaleyra_without_key"),
    Cell("recipient not in E.164", "12025550123"),
    Cell("store fails before the send", ANYBODY, store=0),
    Cell("store fails after the acceptance", ANYBODY, store=1),
    Cell("execution_timeout", HANG_AFTER_ACCEPTING, kaleyra_conn_id="kaleyra_patient", execution_timeout=3),
]
KILLS = {
    "a": ("killed (a) before sending is stored", ANYBODY),
    "b": ("killed (b) after that, before the request is transmitted", ANYBODY),
    "c": ("killed (c) after the request was transmitted", SLOW),
    "d": ("killed (d) after the response, before it is stored", ANYBODY),
    "e": ("killed (e) after that, before the task ends", ANYBODY),
}
_SANDBOX_CELLS = [Cell(f"sandbox: {name}", number) for name, number in _SANDBOX.items()]
_KILLED_CELLS = [Cell(fault, number, kill=point) for point, (fault, number) in KILLS.items()]
_UNKNOWN_CELLS = [
    cell
    for cell in _SANDBOX_CELLS + _KILLED_CELLS
    if cell.fault in {"sandbox: close-after-accepting", "sandbox: close-before-accepting"}
    or cell.kill in {"b", "c", "d"}
]
_CONSTANT = [
    *_OTHER_CELLS,
    *_SANDBOX_CELLS,
    *_KILLED_CELLS,
    *(replace(cell, on_unknown_outcome=mode) for cell, mode in itertools.product(_UNKNOWN_CELLS, ("resend", "skip"))),
]
CELLS = {
    f"cell_{number:02}{'_varying' if varying else ''}": replace(cell, varying=varying)
    for number, cell in enumerate(_CONSTANT)
    for varying in (False, True)
}
"""The cells by task id, which is also the ref of the message."""
