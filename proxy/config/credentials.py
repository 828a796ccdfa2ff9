"""What upstreams want to be told of who asks: user names and passwords, from the environment, or a file.

Found by the command line in the surroundings of the process, handed to `app` and from there to `upstream`, which asks
again when upstream refuses what it was told: tokens expire, and are renewed while the cache runs. Nothing of them is
ever shown: messages name the variable or the file, never what stands there.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from proxy import address_text
from proxy.config import netrc_file
from proxy.config.archives import MOUNT, ArchiveSettings
from proxy.config.auth_conf import AuthConf
from proxy.config.fronts import Front
from proxy.config.loading import ConfigError
from proxy.config.netrc_file import Netrc
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings

_log = logging.getLogger(__name__)

_NETRC, _AUTH_CONF = "netrc", "auth.conf"  # the sources of credentials that are no variables


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where one upstream's credentials stand: `netrc`, or `env:NAME`."""

    base: tuple[str, str, int]  # scheme, host, port of `url`
    own: str  # for those; empty: it has none
    further: Mapping[str, str]  # for other hosts, as the settings write them
    places: Mapping[tuple[str, int | None], str]  # the same by host and port; None: any port

    @classmethod
    def of(cls, upstream: UpstreamSettings) -> Self:
        """As the settings say. What is said of a host by its name outranks the file."""
        further = dict(upstream.host_credentials)
        if upstream.credentials == _NETRC:
            bases = [address_text.origin(base) for base in upstream.siblings]
            hosts = (
                *(f"{address_text.bracketed(host)}:{port}" for _, host, port in bases),
                *upstream.hosts,
                *upstream.page_hosts,
            )
            further = dict.fromkeys(hosts, _NETRC) | further
        places = {_host_and_port(entry): source for entry, source in further.items()}
        return cls(address_text.origin(upstream.url), upstream.credentials, further, places)

    @property
    def all(self) -> set[str]:
        """The places to read."""
        return {source for source in (self.own, *self.further.values()) if source}

    def of_url(self, url: str) -> tuple[str, str, bool] | None:
        """The source for an address, its host, and whether that is the host of `url`. None: it is told nothing.

        What is meant for HTTPS does not travel in the open: plain HTTP is told something only where `url` has it too.
        """
        origin = scheme, host, port = address_text.origin(url)
        secured = self.base == ("http", host, 80) and (scheme, port) == ("https", 443)
        if self.own and (origin == self.base or secured):
            return self.own, host, True
        if scheme not in (self.base[0], "https"):
            return None
        source = self.places.get((host, port)) or self.places.get((host, None))
        return (source, host, False) if source else None


@dataclass(frozen=True, slots=True)
class _Archives:
    """Where the credentials of archives stand, which share a mount."""

    entries: tuple[ArchiveSettings, ...]
    fronts: tuple[Front, ...]  # of the entries
    further: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, archives: Iterable[ArchiveSettings]) -> Self:
        """As the settings say, also of those without any: a longer address may have none."""
        entries = tuple(sorted(archives, key=lambda one: (len(one.front.path), one.front.scheme or ""), reverse=True))
        return cls(entries, tuple(entry.front for entry in entries))

    @property
    def all(self) -> set[str]:
        """The places to read."""
        return {entry.credentials for entry in self.entries if entry.credentials}

    def of_url(self, url: str) -> tuple[str, str, bool] | None:
        """As that of an upstream. Of a file of apt's own the entry says whether it is meant for plain HTTP."""
        for entry, front in zip(self.entries, self.fronts, strict=True):
            if front.covers_url(url):
                scheme, host, _ = address_text.origin(url)
                told = scheme == "https" or front.scheme == "http" or entry.credentials.startswith(_AUTH_CONF)
                return (entry.credentials, host, True) if entry.credentials and told else None
        return None


class KnownCredentials:
    """Implements `ports.Credentials`. Mutable state: what variables and files held when they were read last."""

    def __init__(self, sources: Mapping[str, _Sources | _Archives], environ: Mapping[str, str]) -> None:
        """`sources`: by mount. Nothing is read yet."""
        self._sources = sources
        self._environ = environ
        self._pairs: dict[str, str] = {}  # `user:password`, by variable
        self._netrc = Netrc()
        self._auth_confs: dict[str, AuthConf] = {}  # by source
        self._complaint = ""
        self._reading = asyncio.Lock()
        self._begun = 0  # how often it was read again

    @classmethod
    def find(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Look for the credentials of all upstreams and archives. `environ` is looked at again later.

        Raises ConfigError with a line for each whose credentials are not where its setting says.
        """
        sources: dict[str, _Sources | _Archives] = {
            each.mount: _Sources.of(each) for each in settings.upstreams if each.authenticated
        }
        if any(archive.credentials for archive in settings.archives):
            sources[MOUNT] = _Archives.of(settings.archives)
        found = cls(sources, environ)
        complaints = found._read()
        errors = [
            f"credentials of the upstream {upstream.mount}: {reason}"
            for upstream in settings.upstreams
            if upstream.authenticated
            for reason in found._missing(upstream, complaints)
        ]
        errors += [
            f"credentials of the archive {archive.url}: {reason}"
            for archive in settings.archives
            if archive.credentials and (reason := found._missing_of(archive, complaints))
        ]
        if errors:
            raise ConfigError(errors)
        return found

    def authorization(self, mount: str, url: str) -> str | None:
        """See `ports.Credentials.authorization`."""
        sources = self._sources.get(mount)
        found = sources.of_url(url) if sources else None
        pair = self._pair(*found, url) if found else None
        return None if pair is None else f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def renewed(self, mount: str, url: str, refused: str | None) -> str | None:
        """See `ports.Credentials.renewed`. Those who ask at once share one look."""
        if mount not in self._sources:
            return None
        if self.authorization(mount, url) == refused:
            begun = self._begun
            async with self._reading:
                # Who began to look before this was refused may have looked too early.
                if self._begun == begun and self.authorization(mount, url) == refused:
                    self._begun += 1
                    self._complain(await self._read_in_thread())
        known = self.authorization(mount, url)
        return known if known != refused else None

    def hosts(self, mount: str) -> frozenset[str]:
        """See `ports.Credentials.hosts`."""
        sources = self._sources.get(mount)
        if sources is None:
            return frozenset()
        return frozenset(entry for entry, source in sources.further.items() if self._further(entry, source))

    def _pair(self, source: str, host: str, own: bool, url: str = "") -> str | None:  # noqa: FBT001 - as `of_url` has it
        """What stands there. The file's default is for no host that only a list of hosts names."""
        if source.startswith(_AUTH_CONF):
            known = self._auth_confs.get(source)
            return known.pair(url) if known else None
        if source != _NETRC:
            return self._pairs.get(_variable(source))
        return self._netrc.pairs.get(host) or (self._netrc.default if own else None)

    def _further(self, entry: str, source: str) -> str | None:
        """What stands there for a host as the settings write it."""
        return self._pair(source, _host_and_port(entry)[0], False)  # noqa: FBT003 - as `of_url` has it

    async def _read_in_thread(self) -> dict[str, str]:
        """`_read` in a thread of its own: the file may be on a disk that does not answer."""
        thread = ThreadPoolExecutor(1, "credentials")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, self._read)
        finally:
            thread.shutdown(wait=False)

    def _read(self) -> dict[str, str]:
        """Read variables and file. By source, what is wrong with it; what it held before counts on then."""
        complaints: dict[str, str] = {}
        for source in set[str]().union(*(each.all for each in self._sources.values())):
            try:
                if source == _NETRC:
                    self._netrc = Netrc.read(netrc_file.path(self._environ))
                elif source.startswith(_AUTH_CONF):
                    self._auth_confs[source] = AuthConf.read(_conf_path(source, self._environ))
                else:
                    self._pairs[_variable(source)] = _value(_variable(source), self._environ)
            except LookupError as error:
                complaints[source] = str(error.args[0])
        return complaints

    def _missing(self, upstream: UpstreamSettings, complaints: Mapping[str, str]) -> Iterator[str]:
        """What is not there of what the upstream's settings say is there."""
        sources = self._sources[upstream.mount]
        assert isinstance(sources, _Sources), "archives have a mount of their own"
        yield from (complaints[source] for source in sorted(sources.all) if source in complaints)
        if _NETRC in complaints:
            return
        known = {entry for entry, source in sources.further.items() if self._further(entry, source)}
        needed = [entry for entry, source in upstream.host_credentials.items() if source == _NETRC]
        if sources.own == _NETRC and not known and self._pair(_NETRC, sources.base[1], True) is None:  # noqa: FBT003
            needed.append("its host")
        for entry in needed:
            if entry not in known:
                yield f"{netrc_file.path(self._environ)} has no entry with a password for {entry}; add one" + (
                    ", or a default" if entry == "its host" else ""
                )

    def _missing_of(self, archive: ArchiveSettings, complaints: Mapping[str, str]) -> str | None:
        """What is not there of what the archive's setting says is there."""
        source, front = archive.credentials, archive.front
        if source in complaints:
            return complaints[source]
        urls = [f"{scheme}://{front.host}{f':{front.port}' if front.port else ''}/" for scheme in front.schemes]
        urls = [f"{url}{front.path}" for url in urls]
        if source.startswith(_AUTH_CONF):
            if any(self._auth_confs[source].below(url) for url in urls):
                return None
            return "there is no entry with a login and a password for it; one for plain HTTP begins with http://"
        if source == _NETRC and all(self._pair(source, address_text.origin(url)[1], True) is None for url in urls):  # noqa: FBT003
            return f"{netrc_file.path(self._environ)} has no entry with a password for its host; add one, or a default"
        return None

    def _complain(self, complaints: Mapping[str, str]) -> None:
        """Say once what is wrong by now."""
        reason = "; ".join(complaints.values())
        if reason and reason != self._complaint:
            _log.warning("credentials cannot be read again", extra={"reason": reason})
        self._complaint = reason


def _value(name: str, environ: Mapping[str, str]) -> str:
    """What the variable holds. Raises LookupError."""
    pair = environ.get(name, "")
    if ":" not in pair or not pair.isprintable():
        raise LookupError(f"set the variable {name} to user:password")
    return pair


def _conf_path(source: str, environ: Mapping[str, str]) -> Path | None:
    """The file or folder that a source names; None: apt's own."""
    _, named, text = source.partition(":")
    return Path(environ.get("HOME", "/")) / text[2:] if text.startswith("~/") else Path(text) if named else None


def _variable(source: str) -> str:
    return source.removeprefix("env:")


def _host_and_port(entry: str) -> tuple[str, int | None]:
    """A host as the settings write it: `host`, `host:port`, an address of IPv6 in brackets."""
    host, port = address_text.host(entry)
    return host.strip("[]"), port
