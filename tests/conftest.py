"""The guards round every test, and the fixtures that play the world: an upstream, the program, a client.

The program is imported late: tests of a single room run while another is broken.
"""

from __future__ import annotations

import contextlib
import inspect
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import pytest
import trustme

from tests import guards, scrape
from tests.long_modules import long_modules
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running

_BEFORE = pytest.StashKey[guards.Before]()
_SHARED: Counter[str] = Counter()  # what fixtures opened that outlive a test


class MakeProxy(Protocol):
    """Starts the program on a free port, in this process; it is closed when the test ends.

    `upstream` is the base of the mount `pypi`; `hosts` are further hosts that its pages may link to; `more` are other
    settings, where a table may be a dict: `fetch={"segment": 65536}`. The same `data` folder may be opened again after
    `close()`.
    """

    async def __call__(
        self,
        upstream: str,
        *,
        index: str = "simple/",
        ttl: float = 600.0,
        hosts: frozenset[str] = frozenset(),
        data: Path | None = None,
        **more: Any,
    ) -> Running: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the search for a wrong figure goes on."""
    parser.addoption("--scenarios", type=int, default=8, help="how many mixes of clients and faults are counted")


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks that the guards know, and let Ctrl-C and SIGHUP reach the programs that tests start.

    What a shell starts in the background ignores the one, what `nohup` starts the other, and so would every program
    that begins here.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "keeps_spool: leaves partial downloads in the data folder on purpose")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Ask about long modules."""
    for name, lines in long_modules().items():
        terminalreporter.write_line(f"{name} has {lines} lines: does it hold a second noun?")


# Guards


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Look at the process before any fixture of the test."""
    item.stash[_BEFORE] = guards.Before.look()
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """What a fixture opens that outlives the test is not the test's."""
    if fixturedef.scope == "function":
        return (yield)
    before = guards.open_descriptors()
    result = yield
    _SHARED.update(guards.open_descriptors() - before)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Look again when everything of the test is gone, its event loop too."""
    yield
    complaints = item.stash[_BEFORE].complaints(_SHARED)
    if complaints and item.get_closest_marker("e2e") is None:
        pytest.fail("the test left something behind: " + "; ".join(complaints), pytrace=False)


@pytest.fixture(autouse=True)
def _guarded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Only loopback may be dialled, and no task may be left running."""
    if request.node.get_closest_marker("e2e") is not None:
        yield
        return
    with guards.only_loopback() as refused:
        if inspect.iscoroutinefunction(getattr(request, "function", None)):
            request.getfixturevalue("_no_task_left")
        yield
    if refused:
        pytest.fail(f"the test dialled {', '.join(refused)}", pytrace=False)


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    yield
    if left := await guards.tasks_left():
        pytest.fail(f"tasks still run: {', '.join(left)}", pytrace=False)


# The world


@pytest.fixture
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For who runs uv: what it caches is by address, and an earlier test may have had the same port."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


@pytest.fixture
def data_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where the program keeps its files. No partial download may be left in it, unless the test is `keeps_spool`."""
    folder = tmp_path / "data"
    yield folder
    spool = folder / "spool"
    left = sorted(path.name for path in spool.iterdir()) if spool.is_dir() else []
    if left and request.node.get_closest_marker("keeps_spool") is None:
        pytest.fail(f"partial downloads are left: {', '.join(left)}", pytrace=False)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """An upstream that serves nothing yet."""
    async with Origin() as started:
        yield started


@pytest.fixture
async def other_origin() -> AsyncIterator[Origin]:
    """A second upstream at another address, as the host of files beside an index."""
    async with Origin(host="127.0.0.2") as started:
        yield started


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A private certificate authority that nobody trusts yet."""
    return trustme.CA()


@pytest.fixture
async def secure_origin(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Origin]:
    """An upstream with a certificate of the private authority; SSL_CERT_FILE names it for what starts after this."""
    roots = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(roots))
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    async with Origin(tls=context) as started:
        yield started


@pytest.fixture
async def make_proxy(data_folder: Path) -> AsyncIterator[MakeProxy]:
    """Starts the program with given settings, as often as a test likes."""
    from proxy import app  # noqa: PLC0415
    from proxy.config.settings import Settings  # noqa: PLC0415
    from proxy.config.upstreams import UpstreamSettings  # noqa: PLC0415

    async with contextlib.AsyncExitStack() as stack:

        async def make(
            upstream: str,
            *,
            index: str = "simple/",
            ttl: float = 600.0,
            hosts: frozenset[str] = frozenset(),
            data: Path | None = None,
            **more: Any,
        ) -> Running:
            mount = UpstreamSettings(mount="pypi", url=upstream, index=index, ttl=ttl, hosts=hosts)
            # One request upstream is one request: a test that wants retries asks for them.
            more["fetch"] = {"retries": 0} | more.get("fetch", {})
            upstreams = (mount, *more.pop("upstreams", ()))
            settings = Settings(port=0, data=data or data_folder, upstreams=upstreams, **more)
            running = await app.start(settings)
            stack.push_async_callback(running.close)
            return running

        yield make


@pytest.fixture
async def proxy(make_proxy: MakeProxy, origin: Origin) -> Running:
    """The program in front of `origin`, with the settings that it has by itself."""
    return await make_proxy(origin.url)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that shows what arrives: it asks for no encoding and decodes none, and keeps no cookie.

    It keeps its connection and says so, as pip does.
    """
    async with aiohttp.ClientSession(
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "Connection": "keep-alive"},
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=50),
    ) as session:
        yield session


@pytest.fixture
def metric() -> Callable[..., float]:
    """`metric(running, name, **labels)`: a figure of `/metrics`, summed over the labels that are not named."""
    return scrape.metric
