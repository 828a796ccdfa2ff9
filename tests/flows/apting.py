"""Asking the program as apt does: over one connection that stays open, many requests at once, answers in order."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy.apt import release
from tests.archive import Archive
from tests.conftest import MakeProxy
from tests.flows.asking import SMALL
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, header fields under their lower-case names, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, target: str, *headers: str) -> Answer:
        """Send one GET and read the answer."""
        self.send([target], *headers)
        return await self.receive()

    def send(self, targets: list[str], *headers: str) -> None:
        """Send GETs all at once."""
        heads = ["\r\n".join([f"GET {target} HTTP/1.1", "Host: cache", *headers, "", ""]) for target in targets]
        self._writer.write("".join(heads).encode())

    async def receive(self) -> Answer:
        """Read one answer; it has a Content-Length, or no body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split(" ")[1])
        assert "transfer-encoding" not in headers, head
        size = 0 if status == 304 else int(headers["content-length"])
        return Answer(status, headers, await self._reader.readexactly(size))


@asynccontextmanager
async def client(running: Running) -> AsyncIterator[Client]:
    """A connection to the program."""
    parts = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def start(make: MakeProxy, *origins: Origin, **apt: Any) -> Running:
    """The program, to which the settings name the hosts of `origins`; it looks upstream for each Release file."""
    hosts = {f"{origin.host}:{origin.port}" for origin in origins}
    return await make("https://index.example/", apt={"hosts": hosts, "window": 0} | apt, fetch=SMALL)


async def update(apt: Client, archive: Archive, name: str = "Packages.gz") -> tuple[Answer, Answer | None, bool]:
    """What `apt-get update` does, by plain name: Release file, index, and whether the one lists the other.

    An index that could not be had is no mismatch: apt says so, and keeps what it has.
    """
    inrelease = await apt.get(archive.url(archive.folder + "InRelease"))
    if inrelease.status != 200:
        return inrelease, None, True
    listed = release.parse(inrelease.body, clearsigned=True).files[archive.binary + name]
    index = await apt.get(archive.url(archive.folder + archive.binary + name))
    if index.status != 200:
        assert not index.body, "apt takes an error with a body for a hiccup"
        return inrelease, index, True
    return inrelease, index, (listed.size, listed.digest.value) == (len(index.body), index.sha256)
