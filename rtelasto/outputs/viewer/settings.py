"""Settings of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtelasto.errors import RtelastoError
from rtelasto.settings import check_stale_ms
from rtelasto.transport.endpoints import is_loopback_host

_LONGEST_TOKEN = 256


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Where the viewer gets strain from and who may see it.

    Parameters
    ----------
    strain
        Endpoint where `rtelasto run` publishes strain.
    keys
        Folder of keys (rtelasto keys) for that; without it ``strain`` must be on this machine.
    host
        Address to bind; any address but this machine's loopback needs a token, which is generated if
        none is given.
    port
        Port to bind; 0 takes a free one.
    token
        What the page's address must end with (?token=…) to receive any data.
    stale_ms
        The page reports that it is not live once its newest frame is older than this since acquisition.
    """

    strain: str = "tcp://127.0.0.1:5556"
    keys: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    stale_ms: float = 250.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise RtelastoError(f"port must lie in 0…65535, got {self.port}")
        check_stale_ms(self.stale_ms)
        if not self.host:
            raise RtelastoError("host must be an address such as 127.0.0.1, got nothing")
        if self.token is not None and not 8 <= len(self.token) <= _LONGEST_TOKEN:
            raise RtelastoError(
                f"token must have 8 to {_LONGEST_TOKEN} characters, got {len(self.token)}"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach ``host``."""
        return is_loopback_host(self.host)
