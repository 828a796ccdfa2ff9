"""Failures: exceptions of aiohttp and of the sockets below it as types of `errors`, and the hosts that failed lately.

The client uses them wherever it awaits aiohttp. The texts never carry aiohttp's own, which quote what upstream sent.
Services ask through `Upstream.down` for which host nobody should wait; whether they ask it all the same is theirs.
"""

from __future__ import annotations

import enum
import errno
import ssl

import aiohttp

from proxy.backoff import Backoff
from proxy.bounded import Bounded
from proxy.errors import NoDescriptor, UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.model import Kind, UpstreamRequest

_FIRST = 1.0  # seconds for which a host counts as down after one failure
_LONGEST = 30.0  # seconds, however many failures in a row
_HOSTS = 1024  # hosts and their aspects remembered; more than that is somebody making up names
_LATELY = 60.0  # seconds

# What may come out of aiohttp. `ValueError` is in `InvalidURL` too; the client passes only addresses it has parsed.
CAUGHT = (aiohttp.ClientError, OSError, TimeoutError, ValueError)

_NO_DESCRIPTOR = frozenset((errno.EMFILE, errno.ENFILE))
_CERTIFICATE = (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)
# What OpenSSL finds wrong with one that is from a trusted authority, by its number (X509_V_ERR).
_NOT_VALID_YET, _EXPIRED, _OTHER_NAMES, _OTHER_ADDRESSES = 9, 10, 62, 64
_WRONG_CERTIFICATES = {
    _NOT_VALID_YET: "is not valid yet; check the clock of this machine.",
    _EXPIRED: "has expired, or the clock of this machine is wrong.",
    _OTHER_NAMES: "is for other host names; check the address.",
    _OTHER_ADDRESSES: "is for other host names; check the address.",
}
_UNTRUSTED_CERTIFICATE = "is not trusted; SSL_CERT_FILE names further authorities."


# The first line that matches counts: most of these types are subclasses of those further down.
_MEANINGS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[UpstreamError], str], ...] = (
    (
        aiohttp.ConnectionTimeoutError,
        UpstreamUnreachable,
        "Upstream did not accept a connection in time; check that it is up, and that its name is found here.",
    ),
    (TimeoutError, UpstreamTimeout, "Upstream said nothing for too long. Try again later."),
    (
        (aiohttp.ClientConnectorSSLError, ssl.SSLError),
        UpstreamUnreachable,
        "Upstream does not speak TLS as this cache does; check that https:// and the port in its address are right.",
    ),
    (
        aiohttp.ClientConnectorDNSError,
        UpstreamUnreachable,
        "Upstream's host name is not known here; check the address and the network.",
    ),
    (aiohttp.ClientConnectorError, UpstreamUnreachable, "Upstream refused the connection; check that it is up."),
    (aiohttp.ClientPayloadError, UpstreamBroken, "Upstream's answer broke off before its end."),
    ((aiohttp.ClientResponseError, ValueError), UpstreamBroken, "Upstream's answer is not valid HTTP."),
    (
        (aiohttp.ClientConnectionError, OSError),
        UpstreamUnreachable,
        "Upstream closed the connection before it answered.",
    ),
)


class Failed(Exception):
    """A failed request, for the client, which retries it or notes the failure of the host.

    `again`: a retry at once may help. `host`: whose failure it is (`host:port`); None: nobody's. `no_connection`: there
    was no connection, whatever the request. `proxy`: the host is a proxy on the way. `wait`: seconds that it asks for.
    """

    def __init__(  # noqa: PLR0913 what the client has to know
        self,
        error: UpstreamError,
        *,
        again: bool = False,
        host: str | None = None,
        no_connection: bool = False,
        proxy: bool = False,
        wait: float = 0.0,
    ) -> None:
        super().__init__()
        self.error = error
        self.again = again
        self.host = host
        self.no_connection = no_connection
        self.proxy = proxy
        self.wait = wait


def failure(error: Exception) -> UpstreamError:
    """The failure that an exception of aiohttp means before the body."""
    if isinstance(error, OSError) and error.errno in _NO_DESCRIPTOR:
        return NoDescriptor("This cache has no file descriptor left for a connection; raise its limit (ulimit -n).")
    wrong = wrong_certificate(error)
    if wrong is not None:
        return UpstreamUnreachable(f"Upstream's TLS certificate {wrong}")
    for kinds, meaning, text in _MEANINGS:
        if isinstance(error, kinds):
            return meaning(text)
    return UpstreamBroken("Upstream's answer could not be read.")


def broken_off(error: Exception) -> UpstreamError:
    """The failure that an exception within a body means: a lost connection there is a response cut short."""
    found = failure(error)
    if isinstance(found, UpstreamTimeout):
        return found
    return UpstreamBroken("Upstream's answer broke off before its end.")


def is_of_host(error: UpstreamError) -> bool:
    """Whether a failure says that the host does not answer."""
    return isinstance(error, (UpstreamUnreachable, UpstreamTimeout)) and not isinstance(error, NoDescriptor)


def wrong_certificate(error: Exception) -> str | None:
    """What is wrong with the certificate of the other end, and what to do, as the rest of a sentence about it.

    None: the exception is not about a certificate.
    """
    if not isinstance(error, _CERTIFICATE):
        return None
    number = getattr(getattr(error, "certificate_error", error), "verify_code", 0)
    return _WRONG_CERTIFICATES.get(number, _UNTRUSTED_CERTIFICATE)


def soon_again(error: Exception) -> bool:
    """Whether a retry at once may help: after a refused or lost connection, but not after a timeout."""
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, TimeoutError)):
        return False
    return isinstance(failure(error), UpstreamUnreachable)


def connecting(error: Exception) -> bool:
    """Whether there was no connection, or no tunnel through a proxy: nothing can be had from the host."""
    return isinstance(
        error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
    )


class Aspect(enum.Enum):
    """What of a host fails. Each has its own back-off, and a response of one says nothing of the other."""

    CONNECTION = "connection"  # it cannot be reached: nothing can be had
    DOCUMENTS = "documents"
    FILES = "files"

    @classmethod
    def of(cls, request: UpstreamRequest) -> Aspect:
        """The aspect that a request belongs to."""
        return cls.DOCUMENTS if request.kind in (Kind.PAGE, Kind.RELEASE, Kind.INDEX) else cls.FILES


class HostHealth:
    """The back-offs of all hosts, and of proxies on the way to them. Hosts are `host:port`.

    Mutable state: besides the back-offs, by host the proxy that it was asked through last. Changed only on the event
    loop. Times are seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self._backoff: Backoff[tuple[str, Aspect]] = Backoff(_FIRST, _LONGEST, _HOSTS)
        self._proxies: Bounded[str, str] = Bounded(_HOSTS)
        self._answered: Bounded[str, float] = Bounded(_HOSTS)  # when each last responded

    def failed(self, host: str, aspect: Aspect, now: float, at_least: float = 0.0) -> None:
        """The host could not be reached, failed, timed out, or asks to be left alone for `at_least` seconds."""
        self._backoff.failed((host, aspect), now, at_least=at_least)

    def answered(self, host: str, aspect: Aspect, now: float) -> None:
        """The host responded."""
        self._answered[host] = now
        self._backoff.succeeded((host, Aspect.CONNECTION))
        self._backoff.succeeded((host, aspect))

    def asked(self, host: str, proxy: str | None) -> None:
        """A request goes to the host now, through this proxy or straight."""
        if proxy is not None:
            self._proxies[host] = proxy
        else:
            self._proxies.pop(host, None)

    def heard(self, host: str, now: float) -> bool:
        """Whether the host responded within the last minute, and has not failed to since."""
        return now - self._answered.get(host, float("-inf")) <= _LATELY and not self.down(host, Aspect.CONNECTION, now)

    @property
    def sound(self) -> bool:
        """Whether no host failed, so that none is down: every page that is shown asks that of its host."""
        return self._backoff.unused

    def down(self, host: str, aspect: Aspect, now: float) -> bool:
        """Whether this aspect of the host is within its back-off, or the connection to it or to its last proxy."""
        keys = (host, aspect), (host, Aspect.CONNECTION), (self._proxies.get(host, ""), Aspect.CONNECTION)
        return any(self._backoff.active(key, now) for key in keys)
