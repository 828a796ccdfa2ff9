"""The program's own addresses: metrics, health, the front page, the script by which apt detects the cache.

Their names are reserved: no mount has one. Texts come from `clients`. A browser, which asks for HTML, gets `/` with
status 200. Any other client gets the same text with the status `406 Usage Information`: auto-apt-proxy, and tools like
it, recognise a cache for apt by these words. Called by the edge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from proxy import address_text, clients
from proxy.errors import BadTarget
from proxy.web.error_responses import OWN_HEADERS, text_response


class OwnPages:
    """Answers the reserved addresses.

    `metrics` gives a body and its content type; `degraded` gives what is wrong, if anything; `indexes`: the path of
    the index below each mount.
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
                return web.Response(body=body, headers={**OWN_HEADERS, "Content-Type": content_type})
            case "/healthz":
                # Liveness: a cache whose disk fails still serves past it.
                reason = self._degraded()
                return text_response(200, f"degraded: {reason}" if reason else "ok")
            case "/readyz":
                return text_response(200, "ok")
            case "/":
                return front_page(request, self._indexes)
        return _api(path, request)


def _api(path: str, request: web.BaseRequest) -> web.Response | None:
    if path == "/api/apt-proxy-detect":
        return detecting_script(request)
    if path.startswith("/api/"):
        return text_response(404, "This cache has nothing at this address.")
    return None


def front_page(request: web.BaseRequest, indexes: Mapping[str, str]) -> web.Response:
    """The text at `/`. `indexes`: the path of the index below each mount."""
    answer = text_response(200, _text(_base_url(request), indexes), {"Vary": "Accept"})
    if "text/html" not in request.headers.get("Accept", ""):
        answer.set_status(406, "Usage Information")
    return answer


def detecting_script(request: web.BaseRequest) -> web.Response:
    """The script at `/api/apt-proxy-detect`."""
    return text_response(200, clients.apt_detecting_script(_base_url(request)).removesuffix("\n"))


def _text(base_url: str, indexes: Mapping[str, str]) -> str:
    mount = "pypi" if "pypi" in indexes else min(indexes)
    return "\n".join(
        [
            "pullthrough, a pull-through cache for pip and apt.",
            "",
            "Indexes:",
            *(f"  {clients.index_url(base_url, name, index)}" for name, index in sorted(indexes.items())),
            "pip:",
            *(f"  {line}" for line in clients.pip_lines(base_url, mount, indexes[mount])),
            "uv:",
            *(f"  {line}" for line in clients.uv_lines(base_url, mount, indexes[mount])),
            "apt, in a file of /etc/apt/apt.conf.d:",
            *(f"  {line}" for line in clients.apt_lines(base_url)),
            "",
            "Metrics: /metrics",
        ]
    )


def _base_url(request: web.BaseRequest) -> str:
    """The address of the cache as the client wrote it, if it is well formed; else the one that it connected to."""
    host = request.headers.get("Host", "")
    try:
        address_text.host(host, rooted=True)  # a shell reads these texts: no other characters may get in
    except BadTarget:
        local = request.transport.get_extra_info("sockname") if request.transport else None
        address, port = (address_text.unmapped(local[0]), local[1]) if local else ("127.0.0.1", 3142)
        host = f"{address_text.bracketed(address)}:{port}"
    return f"http://{host}"
