"""The Kaleyra account that the sandbox plays."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SandboxAccount:
    """A published stand-in, no secret: whoever reads this may use it.

    :param business_phone_number: in the country code +999, which nobody owns.
    """

    sid: str = "HXAP1600000097IN"
    api_key: str = "sandbox-api-key"
    business_phone_number: str = "+999100000000"

    def __str__(self) -> str:
        return f"SID {self.sid}, API key {self.api_key}, business phone number {self.business_phone_number}"
