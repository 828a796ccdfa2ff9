"""The program's own addresses: metrics, health, the front page, the script for apt. Reserved names, never mounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from proxy.web import failures, front


class Operations:
    """Answers the reserved addresses.

    `metrics` gives a body and its content type; `degraded` what is wrong, if any; `indexes` are the paths of the
    indexes by mount.
    """

    def __init__(
        self, metrics: Callable[[], tuple[bytes, str]], degraded: Callable[[], str | None], indexes: Mapping[str, str]
    ) -> None:
        self._metrics = metrics
        self._degraded = degraded
        self._indexes = indexes

    def answer(self, path: str, request: web.BaseRequest) -> web.Response | None:
        """The answer at a reserved address, or None for any other."""
        match path:
            case "/metrics":
                body, content_type = self._metrics()
                return web.Response(body=body, headers={**failures.FIXED, "Content-Type": content_type})
            case "/healthz":
                # Liveness: a cache whose disk fails still serves past it.
                trouble = self._degraded()
                return failures.plain(200, f"degraded: {trouble}" if trouble else "ok")
            case "/readyz":
                return failures.plain(200, "ok")
            case "/":
                return front.front_page(request, self._indexes)
        return _api(path, request)


def _api(path: str, request: web.BaseRequest) -> web.Response | None:
    if path == "/api/apt-proxy-detect":
        return front.detecting_script(request)
    if path.startswith("/api/"):
        return failures.plain(404, "There is nothing at this address.")
    return None
