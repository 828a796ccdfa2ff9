"""Exceptions of aiohttp as failures, and the hosts that failed lately."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.errors import NoDescriptor, UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.model import Kind, Site, UpstreamRequest
from proxy.upstream.failures import CAUGHT, Aspect, HostHealth, broken_off, connecting, failure, soon_again

PAGES, FILES, CONNECTION = Aspect.DOCUMENTS, Aspect.FILES, Aspect.CONNECTION

KEY = ConnectionKey("files.example", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
INFO = RequestInfo(URL("http://files.example/secret"), "GET", CIMultiDictProxy(CIMultiDict()), URL())

CASES: list[tuple[Exception, type[UpstreamError], bool]] = [
    (aiohttp.ConnectionTimeoutError("secret"), UpstreamUnreachable, False),
    (aiohttp.SocketTimeoutError("secret"), UpstreamTimeout, False),
    (TimeoutError(), UpstreamTimeout, False),
    (aiohttp.ClientConnectorError(KEY, OSError(111, "secret")), UpstreamUnreachable, True),
    (aiohttp.ClientConnectorError(KEY, OSError(24, "secret")), NoDescriptor, True),
    (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "secret")), UpstreamUnreachable, True),
    (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("secret")), UpstreamUnreachable, False),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "secret")), UpstreamUnreachable, False),
    (aiohttp.ServerDisconnectedError("secret"), UpstreamUnreachable, True),
    (aiohttp.ClientOSError(104, "secret"), UpstreamUnreachable, True),
    (ConnectionResetError("secret"), UpstreamUnreachable, True),
    (aiohttp.ClientPayloadError("secret"), UpstreamBroken, False),
    (aiohttp.ClientResponseError(INFO, (), message="secret"), UpstreamBroken, False),
    (aiohttp.InvalidURL("http://secret/"), UpstreamBroken, False),
    (ValueError("secret"), UpstreamBroken, False),
]


@pytest.mark.parametrize(("error", "expected", "again"), CASES, ids=[type(case[0]).__name__ for case in CASES])
def test_failure__kind_and_words(error: Exception, expected: type[UpstreamError], again: bool) -> None:
    """Each exception is caught, of one kind, tried again or not, and described in our own words."""
    assert isinstance(error, CAUGHT)
    assert expected is type(failure(error))
    assert again is soon_again(error)
    assert "secret" not in str(failure(error))


@pytest.mark.parametrize(
    ("number", "word"), [(9, "clock"), (10, "expired"), (20, "SSL_CERT_FILE"), (62, "host names"), (64, "host names")]
)
def test_failure__of_a_certificate(number: int, word: str) -> None:
    """What is wrong with it is said: further authorities are no help for one that has expired."""
    error = ssl.SSLCertVerificationError(1, "secret")
    error.verify_code = number
    assert word in str(failure(aiohttp.ClientConnectorCertificateError(KEY, error)))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aiohttp.SocketTimeoutError(), UpstreamTimeout),
        (aiohttp.ClientPayloadError(), UpstreamBroken),
        (aiohttp.ClientOSError(104, "reset"), UpstreamBroken),
        (aiohttp.ServerDisconnectedError(), UpstreamBroken),
    ],
)
def test_broken_off__within_a_body(error: Exception, expected: type[UpstreamError]) -> None:
    """Within a body a lost connection is an answer cut short."""
    assert expected is type(broken_off(error))


def test_connecting() -> None:
    """A failure without a connection is told apart from one over a connection."""
    before = {type(error).__name__ for error, _, _ in CASES if connecting(error)}
    assert before == {
        "ConnectionTimeoutError",
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ClientConnectorCertificateError",
        "ClientConnectorSSLError",
    }


# Hosts that failed lately


def test_health__an_answer_clears() -> None:
    """A host is down until its back-off is over, or until it answers."""
    health = HostHealth()
    health.failed("a:80", PAGES, 10.0)
    assert [True, False, False] == [
        health.down(*at) for at in (("a:80", PAGES, 10.9), ("a:80", PAGES, 11.0), ("a:81", PAGES, 10.0))
    ]
    assert not health.sound
    health.answered("a:80", PAGES, 0.0)
    assert (False, True) == (health.down("a:80", PAGES, 10.1), health.sound)


@pytest.mark.parametrize(
    ("failing", "answering", "after_failing", "after_answering"),
    [
        (PAGES, FILES, {PAGES}, {PAGES}),
        (FILES, PAGES, {FILES}, {FILES}),
        (CONNECTION, FILES, {PAGES, FILES, CONNECTION}, set()),
        (CONNECTION, CONNECTION, {PAGES, FILES, CONNECTION}, set()),
        (PAGES, CONNECTION, {PAGES}, {PAGES}),
    ],
)
def test_health__aspects(
    failing: Aspect, answering: Aspect, after_failing: set[Aspect], after_answering: set[Aspect]
) -> None:
    """A host that gives files may fail at pages, and the reverse; one that cannot be reached gives nothing."""
    health = HostHealth()
    health.failed("a:80", failing, 10.0)
    assert after_failing == {aspect for aspect in Aspect if health.down("a:80", aspect, 10.5)}
    health.answered("a:80", answering, 0.0)
    assert after_answering == {aspect for aspect in Aspect if health.down("a:80", aspect, 10.5)}


@pytest.mark.parametrize(
    ("kind", "aspect"), [(Kind.PAGE, PAGES), (Kind.RELEASE, PAGES), (Kind.FILE, FILES), (Kind.METADATA, FILES)]
)
def test_aspect__of_a_request(kind: Kind, aspect: Aspect) -> None:
    """Metadata comes from where files are."""
    assert aspect is Aspect.of(UpstreamRequest("http://a/", Site("demo", "http://a/", "", 600.0), kind=kind))


def test_health__made_up_names() -> None:
    """However many hosts fail, few are remembered: the latest."""
    health = HostHealth()
    for number in range(5000):
        health.failed(f"host{number}:80", PAGES, 0.0)
    assert [False, True] == [health.down(f"host{number}:80", PAGES, 0.5) for number in (0, 4999)]


def test_health__behind_a_proxy() -> None:
    """A host is down while the proxy is that it was asked through last; straight, it is judged by itself."""
    health = HostHealth()
    health.asked("a:80", "proxy:3128")
    health.asked("b:80", None)
    health.failed("proxy:3128", CONNECTION, 10.0)
    assert [True, False, False] == [health.down(host, FILES, 10.5) for host in ("a:80", "b:80", "c:80")]
    health.asked("a:80", None)
    assert not health.down("a:80", PAGES, 10.5)
    for number in range(5000):
        health.asked(f"host{number}:80", "proxy:3128")
    assert len(health._proxies) == 1024


def test_heard__lately() -> None:
    """A host that responded is known to be there for a minute, unless the connection to it fails meanwhile."""
    health = HostHealth()
    assert not health.heard("a:80", 0.0)
    health.answered("a:80", PAGES, 10.0)
    assert [True, True, False] == [health.heard("a:80", now) for now in (10.0, 70.0, 71.0)]
    health.failed("a:80", Aspect.CONNECTION, 20.0)
    assert not health.heard("a:80", 20.5)
    assert not health.heard("b:80", 10.0)
