"""The credentials for upstreams: user names and passwords, from the environment or a file.

The command line makes one `KnownCredentials` from the settings and the environment. `upstream` asks it for each
request, and has it read again when upstream refuses what it sent: tokens expire, and are renewed while the cache runs.
No credentials are ever shown: a message names the variable or the file only.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from proxy import address_text
from proxy.config.addresses import UrlPrefix
from proxy.config.archives import MOUNT, ArchiveSettings
from proxy.config.credential_files import AuthConf, Netrc, netrc_path
from proxy.config.loading import ConfigError
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings

_log = logging.getLogger(__name__)

_NETRC, _AUTH_CONF = "netrc", "auth.conf"  # the sources that are files; all others are `env:NAME`


class _Lookup(NamedTuple):
    """Where to look for the credentials of a request: the source, and for a netrc file the host."""

    source: str
    host: str
    default: bool  # whether the file's entry for all other hosts counts


@dataclass(frozen=True, slots=True)
class _UpstreamSources:
    """The sources of one upstream's credentials."""

    base: tuple[str, str, int]  # the origin of `url`
    own: str  # the source for it; empty: none
    further: Mapping[str, str]  # the sources for other hosts, as the settings write these
    by_host: Mapping[tuple[str, int | None], str]  # the same by host and port; None: any port

    @classmethod
    def of(cls, upstream: UpstreamSettings) -> Self:
        """Read the settings. `host_credentials` outranks the netrc file."""
        further = dict(upstream.host_credentials)
        if upstream.credentials == _NETRC:
            bases = [address_text.origin(base) for base in upstream.siblings]
            hosts = (
                *(f"{address_text.bracketed(host)}:{port}" for _, host, port in bases),
                *upstream.hosts,
                *upstream.page_hosts,
            )
            further = dict.fromkeys(hosts, _NETRC) | further
        by_host = {_host_and_port(entry): source for entry, source in further.items()}
        return cls(address_text.origin(upstream.url), upstream.credentials, further, by_host)

    @property
    def all(self) -> set[str]:
        """The sources to read."""
        return {source for source in (self.own, *self.further.values()) if source}

    def for_url(self, url: str) -> _Lookup | None:
        """Where to look for an address; None: its requests carry no credentials.

        Credentials for HTTPS are not sent in the clear: plain HTTP gets some only where `url` is plain HTTP, too.
        """
        origin = scheme, host, port = address_text.origin(url)
        secured = self.base == ("http", host, 80) and (scheme, port) == ("https", 443)
        if self.own and (origin == self.base or secured):
            return _Lookup(self.own, host, default=True)
        if scheme not in (self.base[0], "https"):
            return None
        source = self.by_host.get((host, port)) or self.by_host.get((host, None))
        return _Lookup(source, host, default=False) if source else None


@dataclass(frozen=True, slots=True)
class _ArchiveSources:
    """The sources of the credentials of all archives, which share a mount."""

    entries: tuple[tuple[UrlPrefix, str], ...]  # with the source; the most special entry first
    further: Mapping[str, str] = field(default_factory=dict)  # as of an upstream

    @classmethod
    def of(cls, archives: Iterable[ArchiveSettings]) -> Self:
        """Read the settings, also of archives without credentials: a longer address may have none."""
        entries = sorted(
            ((archive.prefix, archive.credentials) for archive in archives),
            key=lambda entry: (len(entry[0].path), entry[0].scheme or ""),
            reverse=True,
        )
        return cls(tuple(entries))

    @property
    def all(self) -> set[str]:
        """The sources to read."""
        return {source for _, source in self.entries if source}

    def for_url(self, url: str) -> _Lookup | None:
        """As that of an upstream. An entry of auth.conf says itself whether it is meant for plain HTTP."""
        for prefix, source in self.entries:
            if prefix.covers_url(url):
                scheme, host, _ = address_text.origin(url)
                allowed = scheme == "https" or prefix.scheme == "http" or source.startswith(_AUTH_CONF)
                return _Lookup(source, host, default=True) if source and allowed else None
        return None


class KnownCredentials:
    """Implements `ports.Credentials`. Mutable state: what variables and files held when they were read last."""

    def __init__(self, sources: Mapping[str, _UpstreamSources | _ArchiveSources], environ: Mapping[str, str]) -> None:
        """`sources`: by mount. Nothing is read yet."""
        self._sources = sources
        self._environ = environ
        self._pairs: dict[str, str] = {}  # `user:password`, by variable
        self._netrc = Netrc()
        self._auth_confs: dict[str, AuthConf] = {}  # by source
        self._logged = ""  # what was wrong when that was logged last
        self._reading = asyncio.Lock()
        self._reads = 0  # how often a reading began

    @classmethod
    def find(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Read the credentials of all upstreams and archives. `environ` is read again later.

        Raises ConfigError with a line for each whose credentials are not where its setting says.
        """
        sources: dict[str, _UpstreamSources | _ArchiveSources] = {
            each.mount: _UpstreamSources.of(each) for each in settings.upstreams if each.authenticated
        }
        if any(archive.credentials for archive in settings.archives):
            sources[MOUNT] = _ArchiveSources.of(settings.archives)
        found = cls(sources, environ)
        wrong = found._read()
        errors = [
            f"credentials of the upstream {upstream.mount}: {reason}"
            for upstream in settings.upstreams
            if upstream.authenticated
            for reason in found._missing(upstream, wrong)
        ]
        errors += [
            f"credentials of the archive {archive.url}: {reason}"
            for archive in settings.archives
            if archive.credentials and (reason := found._missing_of_archive(archive, wrong))
        ]
        if errors:
            raise ConfigError(errors)
        return found

    def authorization(self, mount: str, url: str) -> str | None:
        """See `ports.Credentials.authorization`."""
        sources = self._sources.get(mount)
        lookup = sources.for_url(url) if sources else None
        pair = self._pair(lookup, url) if lookup else None
        return None if pair is None else f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def renewed(self, mount: str, url: str, refused: str | None) -> str | None:
        """See `ports.Credentials.renewed`. Calls at the same time share one reading."""
        if mount not in self._sources:
            return None
        if self.authorization(mount, url) == refused:
            reads = self._reads
            async with self._reading:
                # A reading that began before this refusal may have come too early, and does not count.
                if self._reads == reads and self.authorization(mount, url) == refused:
                    self._reads += 1
                    self._log(await self._read_in_thread())
        known = self.authorization(mount, url)
        return known if known != refused else None

    def hosts(self, mount: str) -> frozenset[str]:
        """See `ports.Credentials.hosts`."""
        sources = self._sources.get(mount)
        if sources is None:
            return frozenset()
        return frozenset(entry for entry, source in sources.further.items() if self._known(entry, source))

    def _pair(self, lookup: _Lookup, url: str = "") -> str | None:
        """`user:password`, as it was read last."""
        source = lookup.source
        if source.startswith(_AUTH_CONF):
            known = self._auth_confs.get(source)
            return known.pair(url) if known else None
        if source != _NETRC:
            return self._pairs.get(_variable(source))
        return self._netrc.pairs.get(lookup.host) or (self._netrc.default if lookup.default else None)

    def _known(self, entry: str, source: str) -> bool:
        """Whether there are credentials for a host as the settings write it."""
        return bool(self._pair(_Lookup(source, _host_and_port(entry)[0], default=False)))

    async def _read_in_thread(self) -> dict[str, str]:
        """`_read` in a thread of its own: the file may be on a disk that does not answer."""
        thread = ThreadPoolExecutor(1, "credentials")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, self._read)
        finally:
            thread.shutdown(wait=False)

    def _read(self) -> dict[str, str]:
        """Read all sources. Gives what is wrong, by source; the credentials that such a source had are kept."""
        wrong: dict[str, str] = {}
        for source in set[str]().union(*(each.all for each in self._sources.values())):
            try:
                if source == _NETRC:
                    self._netrc = Netrc.read(netrc_path(self._environ))
                elif source.startswith(_AUTH_CONF):
                    self._auth_confs[source] = AuthConf.read(_conf_path(source, self._environ))
                else:
                    self._pairs[_variable(source)] = _value(_variable(source), self._environ)
            except LookupError as error:
                wrong[source] = str(error.args[0])
        return wrong

    def _missing(self, upstream: UpstreamSettings, wrong: Mapping[str, str]) -> Iterator[str]:
        """Lines about credentials that the upstream's settings name and that are not there."""
        sources = self._sources[upstream.mount]
        assert isinstance(sources, _UpstreamSources), "archives have a mount of their own"
        yield from (wrong[source] for source in sorted(sources.all) if source in wrong)
        if _NETRC in wrong:
            return
        known = {entry for entry, source in sources.further.items() if self._known(entry, source)}
        needed = [entry for entry, source in upstream.host_credentials.items() if source == _NETRC]
        own = _Lookup(sources.own, sources.base[1], default=True)
        if sources.own == _NETRC and not known and self._pair(own) is None:
            needed.append("its host")
        for entry in needed:
            if entry not in known:
                yield f"{netrc_path(self._environ)} has no entry with a password for {entry}; add one" + (
                    ", or a default" if entry == "its host" else ""
                )

    def _missing_of_archive(self, archive: ArchiveSettings, wrong: Mapping[str, str]) -> str | None:
        """The same of an archive."""
        source, prefix = archive.credentials, archive.prefix
        if source in wrong:
            return wrong[source]
        port = f":{prefix.port}" if prefix.port else ""
        urls = [f"{scheme}://{prefix.host}{port}/{prefix.path}" for scheme in prefix.schemes]
        if source.startswith(_AUTH_CONF):
            if any(self._auth_confs[source].below(url) for url in urls):
                return None
            return "there is no entry with a login and a password for it; one for plain HTTP begins with http://"
        own = _Lookup(source, prefix.host.strip("[]"), default=True)
        if source == _NETRC and self._pair(own) is None:
            return f"{netrc_path(self._environ)} has no entry with a password for its host; add one, or a default"
        return None

    def _log(self, wrong: Mapping[str, str]) -> None:
        """Log what is wrong, once until it changes."""
        reason = "; ".join(wrong.values())
        if reason and reason != self._logged:
            _log.warning("credentials cannot be read again", extra={"reason": reason})
        self._logged = reason


def _value(name: str, environ: Mapping[str, str]) -> str:
    """The value of a variable. Raises LookupError."""
    pair = environ.get(name, "")
    if ":" not in pair or not pair.isprintable():
        raise LookupError(f"set the variable {name} to user:password")
    return pair


def _conf_path(source: str, environ: Mapping[str, str]) -> Path | None:
    """The file or folder that a source names; None: apt's own."""
    _, named, text = source.partition(":")
    if not named:
        return None
    return Path(environ.get("HOME", "/")) / text[2:] if text.startswith("~/") else Path(text)


def _variable(source: str) -> str:
    return source.removeprefix("env:")


def _host_and_port(entry: str) -> tuple[str, int | None]:
    """A host as the settings write it: `host`, `host:port`, an address of IPv6 in brackets."""
    host, port = address_text.host(entry)
    return host.strip("[]"), port
