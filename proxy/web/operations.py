"""The program's own pages: metrics, health, and the front page. Reserved names, never mounts."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from proxy.web import failures


class Operations:
    """Answers the reserved addresses. `metrics` gives a body and its content type; `degraded` what is wrong, if any."""

    def __init__(
        self, metrics: Callable[[], tuple[bytes, str]], degraded: Callable[[], str | None], mounts: frozenset[str]
    ) -> None:
        self._metrics = metrics
        self._degraded = degraded
        self._mounts = mounts

    def answer(self, path: str, request: web.BaseRequest) -> web.Response | None:
        """The answer at a reserved address, or None for any other."""
        match path:
            case "/metrics":
                body, content_type = self._metrics()
                return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
            case "/healthz":
                # Liveness: a cache whose disk fails still serves past it.
                trouble = self._degraded()
                return failures.plain(200, f"degraded: {trouble}" if trouble else "ok")
            case "/readyz":
                return failures.plain(200, "ok")
            case "/":
                return failures.plain(200, self._front(request))
        if path.startswith("/api/"):
            return failures.plain(404, "There is nothing at this address.")
        return None

    def _front(self, request: web.BaseRequest) -> str:
        own = request.transport.get_extra_info("sockname") if request.transport else None
        port = own[1] if own else 3142
        mounts = "\n".join(f"  http://<this host>:{port}/{mount}/" for mount in sorted(self._mounts))
        return f"pullthrough, a pull-through cache for pip and apt.\n\nIndexes:\n{mounts}\n\nMetrics: /metrics"
