"""In the place of the client while the cache is offline: nothing is asked (ADR 19)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from proxy.errors import Offline
from proxy.model import UpstreamRequest
from proxy.ports import Reply


class NoUpstream:
    """Implements `ports.Upstream`: raises Offline at once, and opens no connection."""

    offline = True

    def get(self, request: UpstreamRequest) -> AbstractAsyncContextManager[Reply]:
        """Raise Offline."""
        raise Offline(f"The cache is offline, and does not have what was asked of {request.site.mount}.")

    def down(self, url: str, *, file: bool = False) -> bool:  # noqa: ARG002 - the contract's
        """Every host is."""
        return True

    def reaches(self, url: str) -> bool:  # noqa: ARG002 - the contract's
        """No host."""
        return False

    def heard(self, url: str) -> bool:  # noqa: ARG002 - the contract's
        """None was."""
        return False

    async def close(self) -> None:
        """There is nothing to close."""
