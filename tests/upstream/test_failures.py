"""Exceptions of aiohttp as failures."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.upstream.failures import CAUGHT, broken_off, connecting, failure, soon_again

KEY = ConnectionKey("files.example", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
INFO = RequestInfo(URL("http://files.example/secret"), "GET", CIMultiDictProxy(CIMultiDict()), URL())

CASES: list[tuple[Exception, type[UpstreamError], bool]] = [
    (aiohttp.ConnectionTimeoutError("secret"), UpstreamUnreachable, False),
    (aiohttp.SocketTimeoutError("secret"), UpstreamTimeout, False),
    (TimeoutError(), UpstreamTimeout, False),
    (aiohttp.ClientConnectorError(KEY, OSError(111, "secret")), UpstreamUnreachable, True),
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
    """What came before there was a connection is told from what came over one."""
    before = {type(error).__name__ for error, _, _ in CASES if connecting(error)}
    assert before == {
        "ConnectionTimeoutError",
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ClientConnectorCertificateError",
        "ClientConnectorSSLError",
    }
