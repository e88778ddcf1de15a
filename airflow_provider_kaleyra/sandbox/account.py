"""The Kaleyra account that the sandbox simulates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SandboxAccount:
    """SID, API key and business phone number of the simulated account. The defaults are public, not secrets.

    :param business_phone_number: sender of the messages; the default is in +999, a country code without real numbers.
    """

    sid: str = "HXAP1600000097IN"
    api_key: str = "sandbox-api-key"
    business_phone_number: str = "+999100000000"

    def __str__(self) -> str:
        return f"SID {self.sid}, API key {self.api_key}, business phone number {self.business_phone_number}"
