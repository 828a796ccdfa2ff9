"""Flat archives are whole suites: patches, subfolders and addresses by hash belong to the Release file above them."""

from __future__ import annotations

import hashlib
from email.utils import formatdate

import pytest

from tests.archive import LONG_AGO, signed
from tests.flows.apting import client, start
from tests.flows.asking import SteppedClock
from tests.flows.conftest import MakeClocked
from tests.origin import Origin

ROOT = "/repo/x86_64/"
FILES = ("Packages", "Packages.diff/Index", "sub/Packages", "sub/i18n/Translation-en")


def publish(
    origin: Origin, number: int, *, root: str = ROOT, release: bool = True, files: bool = True
) -> dict[str, bytes]:
    """Put a state of a flat archive, or half of it."""
    bodies = {name: f"{name} {number}\n".encode() * (number + 1) for name in FILES}
    date = formatdate(LONG_AGO + number, usegmt=True)
    rows = "".join(f" {hashlib.sha256(body).hexdigest()} {len(body)} {name}\n" for name, body in bodies.items())
    listing = signed(f"Origin: Tests\nDate: {date}\nSHA256:\n{rows}".encode())
    if release:
        origin.file(f"{root}InRelease", listing, etag=None, last_modified=date)
    for name, body in bodies.items() if files else ():
        origin.file(f"{root}{name}", body, etag=None, last_modified=date)
    return bodies | {"InRelease": listing}


@pytest.mark.parametrize("root", [ROOT, "/"], ids=["in a folder", "at the top"])
@pytest.mark.parametrize("form", ["plain", "by-hash"])
async def test_flat__half_a_change(
    origin: Origin, make_clocked: MakeClocked, clock: SteppedClock, form: str, root: str
) -> None:
    """While the archive has the new list and old files, or the other way round, clients have what belongs together."""
    running = await start(make_clocked, origin, window=1)
    before = after = publish(origin, 1, root=root)

    def address(name: str, body: bytes) -> str:
        folder, _, _ = name.rpartition("/")
        hashed = f"{folder}/by-hash/SHA256/{hashlib.sha256(body).hexdigest()}".removeprefix("/")
        return f"/{origin.host}:{origin.port}{root}{hashed if form == 'by-hash' else name}"

    seen = []
    async with client(running) as apt:
        for step in ("before", "list first", "whole"):
            if step == "list first":
                after = publish(origin, 2, root=root, files=False)
            elif step == "whole":
                publish(origin, 2, root=root)
            clock.advance(70)
            listing = (await apt.get(f"/{origin.host}:{origin.port}{root}InRelease")).body
            bodies = after if step == "whole" else before
            got = {name: await apt.get(address(name, bodies[name])) for name in FILES}
            seen.append({"InRelease": listing} | {name: answer.body for name, answer in got.items()})

    assert [before, before, after] == seen


async def test_flat__files_first(origin: Origin, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """Cold, with the old list and new files: 503 for each of them, never a file that the list does not have."""
    running = await start(make_clocked, origin, window=1)
    publish(origin, 1)
    publish(origin, 2, release=False)

    async with client(running) as apt:
        front = f"/{origin.host}:{origin.port}{ROOT}"
        await apt.get(f"{front}InRelease")
        got = [await apt.get(front + name) for name in FILES]

    assert [503] * len(FILES) == [answer.status for answer in got]
