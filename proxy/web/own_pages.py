"""The program's own addresses: metrics, health, the page, the API, the script by which apt detects the cache.

Their names are reserved: no mount has one. Texts come from `clients`. A browser, which asks for HTML, gets the page at
`/`. Any other client gets a text with the status `406 Usage Information`: auto-apt-proxy, and tools like it, recognise
a cache for apt by these words. Called by the edge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from aiohttp import web

from proxy import address_text, clients
from proxy.control.protocol import ControlError
from proxy.errors import BadTarget, StoreError
from proxy.web import action_requests, admission
from proxy.web.action_requests import ActionRefused
from proxy.web.api import PREFIX, Api, Asked, single_values
from proxy.web.error_responses import OWN_HEADERS, text_response
from proxy.web.own_base import own_base
from proxy.web.shared_facts import SharedAnswer
from proxy.web.status_page import POLICY, AnswerFilter, Said, StatusPage

_PAGE_HEADERS = {
    **OWN_HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    "Vary": "Accept",
    "Content-Security-Policy": POLICY,
    # With no-referrer, browsers would send the page's own forms without their origin.
    "Referrer-Policy": "same-origin",
}


class OwnPages:
    """Answers the reserved addresses.

    `metrics` gives a body and its content type; `degraded` gives what is wrong, if anything; `api` has the facts of the
    pages; `indexes`: the path of the index below each mount; `names`: the cache's host names; `public_url`: of the
    settings.
    """

    def __init__(  # noqa: PLR0913, PLR0917 what the answers are made of
        self,
        metrics: Callable[[], tuple[bytes, str]],
        degraded: Callable[[], str | None],
        api: Api,
        indexes: Mapping[str, str],
        names: AbstractSet[str],
        public_url: str = "",
    ) -> None:
        self._metrics = metrics
        self._degraded = degraded
        self._indexes = indexes
        self._names = names
        self._public_url = public_url
        self._page = StatusPage(indexes)
        self._api = api

    async def answer(self, path: str, request: web.BaseRequest) -> web.Response | None:
        """The answer at a reserved address, or None for any other."""
        if path == "/":
            return await (self._action(request) if request.method == "POST" else self._front(request))
        if path.startswith("/api/"):
            return await self._below_api(path, request)
        if path == "/metrics":
            body, content_type = self._metrics()
            return web.Response(body=body, headers={**OWN_HEADERS, "Content-Type": content_type})
        if path == "/healthz":
            # Liveness: a cache whose disk fails still serves past it.
            reason = self._degraded()
            return text_response(200, f"degraded: {reason}" if reason else "ok")
        return text_response(200, "ok") if path == "/readyz" else None

    async def _below_api(self, path: str, request: web.BaseRequest) -> web.Response:
        if path.startswith(PREFIX):
            return self._refusal(request) or await self._api.answer(path, request)
        match path:
            case "/api/apt-proxy-detect":
                return detecting_script(request, self._public_url)
            case "/api/page.css":
                return _static(self._page.style, "text/css")
            case "/api/page.js":
                return _static(self._page.script, "text/javascript")
        return text_response(404, "This cache has nothing at this address.")

    async def _front(self, request: web.BaseRequest) -> web.Response:
        if "text/html" not in request.headers.get("Accept", ""):
            return usage(request, self._indexes, self._public_url)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        query = single_values(request.raw_path)
        if query.get("view") == "stored":
            return await self._stored(request, Said())
        facts, today, trouble = await self._api.facts.get(), datetime.now(UTC).date(), self._degraded()
        if query.get("view") == "live":
            part = self._page.live(facts.now, today, trouble)
            # `no-store` stays: the script keeps it.
            return SharedAnswer.of(
                request,
                part.body,
                part.tag,
                _PAGE_HEADERS,
                lambda: self._api.facts.are(facts) and self._degraded() == trouble,
            )
        wanted = AnswerFilter(*(query.get(name, "") for name in ("client", "path", "project")))
        base_url = _base_url(request, self._public_url)
        return _page(self._page.render(facts.now, base_url, today, trouble, wanted))

    async def _action(self, request: web.BaseRequest) -> web.Response:
        """A form of the page of stored files: what it wishes is done, and said above the list."""
        refusal = self._refusal(request)
        if refusal is not None:
            refusal.force_close()
            return refusal
        try:
            form = await action_requests.read_form(request)
        except ActionRefused as refused:
            answer = text_response(refused.status, str(refused))
            answer.force_close()  # some of the body may not have been read
            return answer
        if form.wish is None:
            return await self._stored(request, Said(problem="Choose at least one file.", chosen=form.files), 400)
        try:
            end = await action_requests.carry_out(self._api.act, request, form.token, form.wish)
        except ActionRefused as refused:
            said = Said(problem=str(refused), chosen=form.files)
            return await self._stored(request, said, refused.status)
        return await self._stored(request, Said(done=end))

    async def _stored(self, request: web.BaseRequest, said: Said, status: int = 200) -> web.Response:
        try:
            asked = Asked.read(request.raw_path)
        except ValueError as error:
            return text_response(400, str(error))
        try:
            listing = await self._api.stored(asked.text, asked.order, asked.start, asked.count)
        except (ControlError, StoreError) as error:
            return text_response(503, str(error))
        return _page(self._page.stored(listing, asked.text, asked.order, asked.start, asked.count, said), status)

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """A page in somebody's browser must not read these by a name of its own (DNS rebinding)."""
        host = request.headers.get("Host", "")
        if admission.is_own_host(host, self._names):
            return None
        return text_response(
            403,
            "The cache does not know itself by this host name. Use its address, or add the name to the setting names.",
        )


def usage(request: web.BaseRequest, indexes: Mapping[str, str], public_url: str = "") -> web.Response:
    """The text at `/` for all that are no browser. `indexes`: the path of the index below each mount."""
    answer = text_response(406, _text(_base_url(request, public_url), indexes), {"Vary": "Accept"})
    answer.set_status(406, "Usage Information")
    return answer


def detecting_script(request: web.BaseRequest, public_url: str = "") -> web.Response:
    """The script at `/api/apt-proxy-detect`."""
    return text_response(200, clients.apt_detecting_script(_base_url(request, public_url)).removesuffix("\n"))


def _page(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, body=text.encode(), headers=_PAGE_HEADERS)


def _static(text: str, content_type: str) -> web.Response:
    return web.Response(text=text, content_type=content_type, headers=OWN_HEADERS)


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
            "Metrics: /metrics. In a browser this address is a page.",
        ]
    )


def _base_url(request: web.BaseRequest, public_url: str) -> str:
    """The address of the cache as the client wrote it, if it is well formed; else the one that it connected to.

    Of the scheme that a server with TLS in front has, only the settings know.
    """
    host = request.headers.get("Host", "")
    if public := own_base(host, None, public_url):
        return public
    try:
        address_text.host(host, rooted=True)  # a shell reads these texts: no other characters may get in
    except BadTarget:
        local = request.transport.get_extra_info("sockname") if request.transport else None
        address, port = (address_text.unmapped(local[0]), local[1]) if local else ("127.0.0.1", 3142)
        host = f"{address_text.bracketed(address)}:{port}"
    return f"http://{host}"
