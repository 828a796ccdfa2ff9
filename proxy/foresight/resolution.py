"""What a resolver looks for next: from metadata that a client takes to the projects which that requires.

Their pages, and the metadata of the file that a resolver tries first, are asked for at once, and so on from there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence

from proxy.cache.representation import Representation
from proxy.cache.workers import Workers
from proxy.foresight import candidates, requirements
from proxy.foresight.background import Background
from proxy.foresight.installs import Install, Project
from proxy.foresight.requests_ahead import RequestsAhead
from proxy.model import Blob, Kind, Target
from proxy.ports import BlobReader
from proxy.python.attachments import METADATA
from proxy.python.outlook import Outlook
from proxy.python.plain_links import Link

_LONGEST = 2 << 20  # bytes of a metadata file that is read
_AT_ONCE = 50  # requirements that are taken in before others have a turn


class Resolution:
    """Has pages and metadata here before they are asked for. Mutable state: the thread that reads metadata."""

    def __init__(self, outlook: Outlook, blobs: BlobReader, ahead: RequestsAhead, background: Background) -> None:
        self._outlook = outlook
        self._blobs = blobs
        self._ahead = ahead
        self._background = background
        self._work = Workers("foresight", 1)

    async def taken(self, client: str, install: Install, name: str, project: Project, answer: Representation) -> None:
        """A client took metadata that nobody foresaw."""
        if self._ahead.hurries(client):
            return
        wheel, found = project.wheel, await self._read(answer)
        if found is not None and project.wheel == wheel:
            project.requirements = found
            await self._follow(client, install, name, project)

    async def close(self) -> None:
        """Give the thread back."""
        await self._work.close()

    async def _follow(self, client: str, install: Install, name: str, project: Project) -> None:
        """Look for the projects that a wheel requires."""
        if self._ahead.hurries(client):
            return
        texts, extras, pages = project.requirements or (), project.extras, self._pages_of(project)
        found = await self._work.run(requirements.wanted, texts, install.environment, extras, name)
        for number, wanted in enumerate(found):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            other = install.project(wanted.project)
            news = other is not None and other.narrowed(wanted, self._beside(pages, wanted.project))
            if other is not None and news and other is not project:
                self._background.begin(self._foresee(client, install, wanted.project, other))

    def _pages_of(self, project: Project) -> list[Target]:
        """The pages of the index that gave its wheel.

        A client may look for a project on several indexes, and two clients may count as one. What a wheel of a private
        index requires may be a private name, which no other index is told.
        """
        wheel = project.wheel
        if wheel is None:
            return []
        return [page for page in project.pages if self._outlook.first(page).mount == wheel.mount]

    def _beside(self, pages: Iterable[Target], name: str) -> list[Target]:
        """Where the client will look for a project: beside the pages of the one that requires it."""
        return [self._outlook.beside(page, name) for page in pages]

    async def _foresee(self, client: str, install: Install, name: str, project: Project) -> None:
        """Have the pages of a project here, and the metadata of the wheel that a resolver tries first."""
        listed: list[tuple[Target, Sequence[Link]]] = []
        for page in map(self._outlook.first, project.pages):
            await self._ahead.ask(client, install, page, Kind.PAGE)
            listed.append((page, await self._outlook.links(page)))
        found = await self._work.run(candidates.first_listed, listed, project.specifier, install.environment)
        wheel = self._outlook.place(*found) if found is not None else None
        if found is None or wheel is None or not self._outlook.is_cheap(found[0]):
            return
        if wheel != project.wheel:
            answer = await self._ahead.ask(client, install, _metadata_of(wheel), Kind.METADATA)
            needed = await self._read(answer) if answer is not None else None
            if needed is None or (project.wheel != wheel and project.wheel in install.taken):
                return  # the client has chosen another one meanwhile
            project.wheel, project.requirements = wheel, needed
        await self._follow(client, install, name, project)

    async def _read(self, answer: Representation) -> tuple[str, ...] | None:
        """The requirements in metadata; None if it is too long."""
        body = answer.body
        if isinstance(body, Blob) and body.size <= _LONGEST:
            with self._blobs.lease(body) as descriptor:
                return await self._work.run(_from_descriptor, descriptor, body.size)
        if isinstance(body, bytes) and len(body) <= _LONGEST:
            return await self._work.run(requirements.read, body)
        return None


def _metadata_of(wheel: Target) -> Target:
    return Target(wheel.mount, wheel.host, wheel.path + METADATA)


def _from_descriptor(descriptor: int, size: int) -> tuple[str, ...]:
    return requirements.read(os.pread(descriptor, size, 0))
