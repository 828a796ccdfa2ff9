"""Packages of apt, by the real apt against the cache."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.errors import BadTarget, WrongUsage
from proxy.warming import archives
from proxy.warming.archives import ArchiveFile, NoPackages, Packages, archive_file, is_name, resolve
from proxy.warming.text_files import UnreadableFile
from tests.archive import Archive, deb
from tests.bodies import sha256
from tests.conftest import MakeProxy
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running

CACHE = "http://127.0.0.1:3142"
needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="this system has no apt")


def through(*texts: str) -> list[str]:
    """Sources that lead through the cache, without what all have in front."""
    return [line.removeprefix("deb ").replace(f" {CACHE}", " ") for line in archives.sources(texts, CACHE)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://mirror.example/debian stable main", "[trusted=yes] /mirror.example/debian stable main"),
        (
            "deb http://mirror.example/debian/ stable main extra",
            "[trusted=yes] /mirror.example/debian/ stable main extra",
        ),
        (
            "deb [signed-by=/k arch=arm64] https://a.example/x stable main",
            "[trusted=yes arch=arm64] /HTTPS///a.example/x stable main",
        ),
        ("https://a.example/flat ./", "[trusted=yes] /HTTPS///a.example/flat ./"),
        (f"{CACHE}/HTTPS///a.example/x stable main # why", "[trusted=yes] /HTTPS///a.example/x stable main"),
    ],
)
def test_sources__line(text: str, expected: str) -> None:
    """A line as in sources.list, its archive behind the cache."""
    assert [expected] == through(text)


def test_sources__files(tmp_path: Path) -> None:
    """Files of both forms, and a folder of them."""
    (tmp_path / "a.list").write_text(
        "# deb http://no.example/ x\ndeb http://a.example/d s main\ndeb-src http://a.example/d s main\n",
        encoding="utf-8",
    )
    (tmp_path / "b.sources").write_text(
        "Types: deb deb-src\n# why\nURIs: http://b.example/d\nSuites: s s-updates\nComponents: main\nSigned-By:\n"
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n URIs: nothing\n\n"
        "Types: deb\nEnabled: no\nURIs: http://c.example/d\nSuites: s\n\n"
        "Types: deb\nEnabled:\nURIs: http://b.example/e\nSuites: s\n\n"
        "Types: deb\nURIs: http://d.example/d\nSuites: /\nArchitectures: arm64 armhf\n"
    )
    (tmp_path / "c.save").write_text("deb http://no.example/ x\n", encoding="utf-8")
    assert (
        [
            "[trusted=yes] /a.example/d s main",
            "[trusted=yes] /b.example/d s main",
            "[trusted=yes] /b.example/d s-updates main",
            "[trusted=yes] /b.example/e s",
            "[trusted=yes arch=arm64,armhf] /d.example/d /",
        ]
        == through(str(tmp_path))
        == through(str(tmp_path / "a.list"), str(tmp_path / "b.sources"))
    )


def test_sources__percent_encoded(tmp_path: Path) -> None:
    """apt decodes lines and leaves stanzas as they are: both lead to the same address."""
    (tmp_path / "a.sources").write_text("Types: deb\nURIs: http://a.example/group%2Fd\nSuites: s\nComponents: main\n")
    (tmp_path / "a.list").write_text("deb http://a.example/group%252Fd s main\n")
    expected = ["[trusted=yes] /a.example/group%252Fd s main"]
    assert expected == through(str(tmp_path / "a.sources")) == through(str(tmp_path / "a.list"))


def test_sources__of_folders_and_discs(tmp_path: Path) -> None:
    """What a file has of them is left out: vendors install such a repository, and an installer leaves its disc."""
    (tmp_path / "a.list").write_text(
        "deb cdrom:[Debian GNU/Linux 12 - amd64 DVD]/ stable main\n"
        "deb [signed-by=/k] file:///var/vendor-local /\ndeb http://a.example/d s main\n"
    )
    (tmp_path / "b.sources").write_text(
        "Types: deb\nURIs: copy:/var/x http://b.example/d\nSuites: s\nComponents: main\n"
    )
    assert ["[trusted=yes] /a.example/d s main", "[trusted=yes] /b.example/d s main"] == through(str(tmp_path))
    (tmp_path / "b.sources").unlink()
    (tmp_path / "a.list").write_text("deb file:///var/vendor-local /\n")
    with pytest.raises(WrongUsage, match="no sources of apt"):
        through(str(tmp_path))


def test_sources__own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any those of this machine; where it has none, it is said what to do."""
    (tmp_path / "sources.list").write_text("deb http://a.example/d s main\n", encoding="utf-8")
    monkeypatch.setattr(archives, "SOURCES", (tmp_path / "sources.list", tmp_path / "nowhere"))
    assert ["[trusted=yes] /a.example/d s main"] == through()
    monkeypatch.setattr(archives, "SOURCES", ())
    with pytest.raises(WrongUsage, match="--apt-source"):
        through()


@pytest.mark.parametrize("text", ["stable main", "cdrom:x stable main", "http://a.example/../x stable main", ""])
def test_sources__wrong(text: str) -> None:
    """It is said what to write."""
    with pytest.raises(WrongUsage, match="--apt-source"):
        through(text)


def test_sources__unreadable(tmp_path: Path) -> None:
    """A file that is no text."""
    (tmp_path / "a.list").write_bytes(b"\xff\xff")
    with pytest.raises(UnreadableFile, match="no text"):
        through(str(tmp_path / "a.list"))


def test_archive_file() -> None:
    """By its address upstream, or on the cache."""
    there = archive_file("https://keys.example/a%2Bb.asc")
    assert ("a+b.asc", "/HTTPS///keys.example/a%2Bb.asc") == (there.filename, there.path)
    assert there == archive_file(f"{CACHE}/HTTPS///keys.example/a%2bb.asc", CACHE)
    with pytest.raises(BadTarget):
        archive_file("ftp://a.example/x")


@pytest.fixture
async def archive(origin: Origin) -> Archive:
    """An archive that is not signed, with two packages."""
    made = Archive(origin, inline=False)
    made.publish(deb("curl"), deb("libc++x"))
    origin.remove(f"{made.folder}Release.gpg")
    return made


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin, archive: Archive) -> Running:
    """A cache that serves it."""
    return await make_proxy(origin.url, apt={"hosts": {f"{origin.host}:{origin.port}"}})


async def resolved(running: Running, origin: Origin, *names: str, architecture: str = "amd64") -> list[ArchiveFile]:
    """What apt would fetch."""
    sources = archives.sources((f"{origin.url}/debian stable main",), running.url)
    wish = Packages(names, sources, architecture)
    return await asyncio.to_thread(resolve, wish, running.url, dict(os.environ))


@needs_apt
async def test_resolve(running: Running, origin: Origin) -> None:
    """Files with their size and hash, whose lists came through the cache."""
    curl, other = await resolved(running, origin, "curl", "libc++x=1.0")
    assert (f"{origin.url}/debian/pool/main/d/demo/curl_1.0_amd64.deb", 900) == (curl.address.url, curl.size)
    assert {"sha256": sha256(deb("curl").body)} == curl.hashes
    assert "libc++x_1.0_amd64.deb" == other.filename
    assert origin.count("/debian/dists/stable/InRelease") + origin.count("/debian/dists/stable/Release")


@needs_apt
@pytest.mark.parametrize(
    ("name", "architecture"),
    [("unknown", "amd64"), ("curl=2", "amd64"), ("curl", "arm64")],
    ids=["name", "version", "architecture"],
)
async def test_resolve__nothing_fits(running: Running, origin: Origin, name: str, architecture: str) -> None:
    """What apt says is said."""
    with pytest.raises(NoPackages, match=r"curl|unknown"):
        await resolved(running, origin, name, architecture=architecture)


@needs_apt
async def test_resolve__no_suite(running: Running, origin: Origin) -> None:
    """Lists that cannot be had."""
    sources = archives.sources((f"{origin.url}/debian other main",), running.url)
    with pytest.raises(NoPackages, match="other"):
        await asyncio.to_thread(resolve, Packages(("curl",), sources), running.url, dict(os.environ))


@pytest.mark.parametrize("wish", [Packages(("-o=x",), ()), Packages(("a b",), ()), Packages(("curl",), (), "x;y")])
def test_resolve__wrong(wish: Packages) -> None:
    """Nothing but names gets to apt."""
    with pytest.raises(WrongUsage, match="--apt"):
        resolve(wish, CACHE, {})


def test_resolve__without_apt(tmp_path: Path) -> None:
    """It is said where there is one; and what a broken one said."""
    with pytest.raises(NoPackages, match="no apt-get"):
        resolve(Packages(("curl",), ()), CACHE, {"PATH": str(tmp_path)})
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\necho 'W: a warning'; echo 'E: broken' >&2; exit 100\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(NoPackages, match="W: a warning\nE: broken"):
        resolve(Packages(("curl",), ()), CACHE, {"PATH": f"{tmp_path}:/bin"})
    program.write_text("no program")
    with pytest.raises(NoPackages, match="could not be run"):
        resolve(Packages(("curl",), ()), CACHE, {"PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "is_one"), [("curl=7.88.*", True), ("php8.2-*", True), ("g++:arm64/sid", True), ("#", False), ("A", False)]
)
def test_is_name(text: str, is_one: bool) -> None:
    """Names with patterns, versions, architectures and suites."""
    assert is_one is is_name(text)
