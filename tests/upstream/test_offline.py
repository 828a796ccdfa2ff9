"""While the cache is offline no connection is opened."""

from __future__ import annotations

import pytest

from proxy.errors import Offline
from proxy.model import Site, UpstreamRequest
from proxy.upstream.offline import NoUpstream

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)


async def test_no_upstream() -> None:
    """Each question fails at once, and no host can be reached."""
    upstream = NoUpstream()
    with pytest.raises(Offline, match="offline"):
        async with upstream.get(UpstreamRequest(SITE.base, SITE)):
            pass
    assert upstream.offline
    assert (True, False) == (upstream.down(SITE.base), upstream.reaches(SITE.base))
    await upstream.close()
