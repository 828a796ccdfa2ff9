"""Packages of apt, by the real apt against the cache."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.errors import BadTarget, WrongUsage
from proxy.warming import archives, text_files
from proxy.warming.archives import ArchiveFile, NoPackages, Packages, archive_file, is_name, resolve
from proxy.warming.choice import LeftOut
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
    return [line.removeprefix("deb ").replace(f" {CACHE}", " ") for line in archives.sources(texts, CACHE, [])]


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
        (
            "deb [arch+=arm64 arch-=i386 lang=de] http://a.example/x stable main",
            "[trusted=yes arch+=arm64 arch-=i386] /a.example/x stable main",
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
        "Architectures-Add: i386\nArchitectures-Remove: amd64\n"
    )
    (tmp_path / "c.save").write_text("deb http://no.example/ x\n", encoding="utf-8")
    assert (
        [
            "[trusted=yes] /a.example/d s main",
            "[trusted=yes] /b.example/d s main",
            "[trusted=yes] /b.example/d s-updates main",
            "[trusted=yes] /b.example/e s",
            "[trusted=yes arch=arm64,armhf arch+=i386 arch-=amd64] /d.example/d /",
        ]
        == through(str(tmp_path))
        == through(str(tmp_path / "a.list"), str(tmp_path / "b.sources"))
    )


def test_sources__percent_encoded(tmp_path: Path) -> None:
    """apt decodes lines and leaves stanzas as they are: both lead to the same address."""
    (tmp_path / "a.sources").write_text("Types: deb\nURIs: http://a.example/group%2Fd\nSuites: s#1\nComponents: main\n")
    (tmp_path / "a.list").write_text("deb http://a.example/group%252Fd s%231 main\n")
    expected = ["[trusted=yes] /a.example/group%252Fd s%231 main"]
    assert expected == through(str(tmp_path / "a.sources")) == through(str(tmp_path / "a.list"))


@pytest.mark.parametrize(
    ("word", "on"),
    [(word, False) for word in ("no", "False", "without", "OFF", "disable", "0", "00")]
    + [(word, True) for word in ("yes", "true", "with", "on", "enable", "1")],
)
def test_sources__enabled(tmp_path: Path, word: str, on: bool) -> None:
    """What apt takes for no."""
    (tmp_path / "a.sources").write_text(
        f"Types: deb\nURIs: http://a.example/d\nSuites: s\nComponents: main\nEnabled: {word}\n\n"
        "Types: deb\nURIs: http://b.example/d\nSuites: s\nComponents: main\n"
    )
    expected = ["[trusted=yes] /a.example/d s main"] if on else []
    assert [*expected, "[trusted=yes] /b.example/d s main"] == through(str(tmp_path))


@pytest.mark.parametrize(
    "url",
    [
        "mirror+file:/etc/apt/mirrors.txt",
        "mirror+http://a.example/list",
        "mirror://a.example/list",
        "ftp://a.example/d",
        "ssh://root@a.example/d",
        "tor+https://user:secret@a.example/d",
        "https://user:secret@a.example/d",
        "s3://bucket/d",
        "file:///var/vendor-local",
        "copy:/var/x",
        "cdrom:[Debian GNU/Linux 12 - amd64 DVD]/",
    ],
)
def test_sources__of_no_archive(tmp_path: Path, url: str) -> None:
    """What a file has of them is left out, and said, without passwords; a line that somebody typed is refused."""
    (tmp_path / "a.list").write_text(f"deb [signed-by=/k] {url} stable main\ndeb http://a.example/d s main\n")
    (tmp_path / "b.sources").write_text(
        f"Types: deb\nURIs: {url} http://b.example/d\nSuites: s t\nComponents: main\n", encoding="utf-8"
    )
    left_out: list[LeftOut] = []
    found = archives.sources((str(tmp_path),), CACHE, left_out, (f"deb {url} stable main",))
    assert [
        f"deb [trusted=yes] {CACHE}/{source}"
        for source in ("a.example/d s main", "b.example/d s main", "b.example/d t main")
    ] == list(found)
    assert [text_files.without_user(url)] == [one.what for one in left_out]
    assert not any("secret" in one.what for one in left_out)

    with pytest.raises(WrongUsage, match="--apt-source") as refused:
        through(f"deb {url} stable main")
    assert "secret" not in str(refused.value)
    (tmp_path / "a.list").unlink()
    (tmp_path / "b.sources").write_text(f"Types: deb\nURIs: {url}\nSuites: s\nComponents: main\n", encoding="utf-8")
    with pytest.raises(WrongUsage, match="no sources of apt"):
        through(str(tmp_path))


def test_sources__other_bytes(tmp_path: Path) -> None:
    """apt reads bytes: a comment in another encoding does no harm."""
    (tmp_path / "a.list").write_bytes("# für später\ndeb http://a.example/d s main\n".encode("latin-1"))
    (tmp_path / "b.sources").write_bytes(
        "# für später\nTypes: deb\nURIs: http://b.example/d\nSuites: s\nComponents: main\n".encode("latin-1")
    )
    assert ["[trusted=yes] /a.example/d s main", "[trusted=yes] /b.example/d s main"] == through(str(tmp_path))


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


@pytest.mark.parametrize(
    "line", ["deb http://a.example/d", "deb [arch=a] http://a.example/d", "deb http://a.example/" + "[a]" * 200]
)
def test_sources__malformed_line_of_a_file(tmp_path: Path, line: str) -> None:
    """apt refuses it, too; it is said in which file it is."""
    (tmp_path / "a.list").write_text(f"{line}\ndeb http://b.example/d s main\n")
    with pytest.raises(UnreadableFile, match=r"a\.list: this is no source"):
        through(str(tmp_path))


def test_sources__unreadable(tmp_path: Path) -> None:
    """A file that is no text."""
    (tmp_path / "a.list").write_bytes(b"deb\0")
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
    sources = archives.sources((f"{origin.url}/debian stable main",), running.url, [])
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
    sources = archives.sources((f"{origin.url}/debian other main",), running.url, [])
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


def test_resolve__no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room fails one wish, and not the whole run."""
    program = tmp_path / "apt-get"
    program.touch(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(NoPackages, match=r"no room for apt in .*gone: No such file or directory\. TMPDIR"):
        resolve(Packages(("curl",), ()), CACHE, {"PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "is_one"), [("curl=7.88.*", True), ("php8.2-*", True), ("g++:arm64/sid", True), ("#", False), ("A", False)]
)
def test_is_name(text: str, is_one: bool) -> None:
    """Names with patterns, versions, architectures and suites."""
    assert is_one is is_name(text)
