"""Files of user names and passwords: what is read, and for which addresses. Requests are held by `test_credentials`."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import credential_files
from proxy.config.credential_files import AuthConf, Netrc, netrc_path

URL = "https://deb.example/debian/dists/stable/InRelease"


def test_netrc_path() -> None:
    """$NETRC outranks the file at home; an empty variable is none."""
    assert [Path("/x/y"), Path("/h/.netrc"), Path("/.netrc")] == [
        netrc_path(environ) for environ in ({"NETRC": "/x/y", "HOME": "/h"}, {"NETRC": "", "HOME": "/h"}, {})
    ]


def test_netrc__read(tmp_path: Path) -> None:
    """Hosts are compared in lower case; what has no password is no entry; none of it is shown."""
    file = tmp_path / "netrc"
    file.write_text(
        "machine A.example login me password hunter2\n"
        "machine b.example password hunter2\n"
        "machine c.example login me\n"
        "macdef init\n  cd /x\n\n"
        "default login any password hunter2\n",
        encoding="utf-8",
    )

    read = Netrc.read(file)

    assert ({"a.example": "me:hunter2", "b.example": ":hunter2"}, "any:hunter2") == (read.pairs, read.default)
    assert "hunter2" not in f"{read!r} {read}"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "cannot be read"),
        (b"machine x login y pasword hunter2\n", "no netrc file"),
        (b"\xff\xfe", "no netrc file"),
    ],
)
def test_netrc__unreadable(tmp_path: Path, content: bytes | None, word: str) -> None:
    """The file is named, and nothing that stands in it."""
    file = tmp_path / "netrc"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(LookupError, match=word) as caught:
        Netrc.read(file)

    assert str(file) in str(caught.value)
    assert caught.value.__suppress_context__
    assert "hunter2" not in f"{caught.value!r}"


def pair(folder: Path, text: str, url: str = URL) -> str | None:
    """What stands in a file with this text for an address."""
    (folder / "auth.conf").write_text(text, encoding="utf-8")
    return AuthConf.read(folder / "auth.conf").pair(url)


@pytest.mark.parametrize(
    "machine",
    [
        "deb.example", "Deb.Example", "https://deb.example", "HTTPS://DEB.example/debian", "deb.example:443",
        "deb.example/deb", "deb.example/debian", "deb.example/debian/", "deb.example/debian/dists/stable/InRelease",
    ],
)  # fmt: skip
def test_auth_conf__pair(tmp_path: Path, machine: str) -> None:
    """Host, and scheme, port and the front of the path where they are written."""
    assert "me:s3cret" == pair(tmp_path, f"machine {machine} login me password s3cret\n")


@pytest.mark.parametrize(
    "machine",
    [
        "http://deb.example", "tor+https://deb.example", "deb.example:80", "deb.example:8443", "deb.example/deb/",
        "deb.example/ubuntu", "deb.examplea", "example", "sub.deb.example", "deb.example:x", "/debian", "https://",
    ],
)  # fmt: skip
def test_auth_conf__pair__of_another(tmp_path: Path, machine: str) -> None:
    """What is for another address is not for this one."""
    assert pair(tmp_path, f"machine {machine} login me password s3cret\n") is None


def test_auth_conf__pair__plain_http(tmp_path: Path) -> None:
    """Only where the entry says so, in so many words."""
    url = "http://deb.example:8080/debian/a%2Bb/InRelease"

    assert pair(tmp_path, "machine deb.example login me password s3cret", url) is None
    assert "me:s3cret" == pair(tmp_path, "machine http://deb.example/debian/a+b login me password s3cret", url)
    assert "me:s3cret" == pair(tmp_path, "machine http://deb.example:8080 login me password s3cret", url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("machine deb.example\nlogin me\n\tpassword s3cret\n", "me:s3cret"),
        ("machine deb.example password s3cret login me", "me:s3cret"),
        ("machine other.example login you password no\nmachine deb.example login me password s3cret", "me:s3cret"),
        ("machine deb.example login me password s3cret\nmachine deb.example login you password no", "me:s3cret"),
        ("machine deb.example/debian/ login me password s3cret\nmachine deb.example login you password n", "me:s3cret"),
        ("machine deb.example login bearer password C1  # vendor-client\n", "bearer:C1"),
        ("# machine deb.example login no password no\nmachine deb.example login me password #a:b\n", "me:#a:b"),
        ("unknown word machine deb.example account x login me password s3cret", "me:s3cret"),
        ("machine deb.example login machine password login", "machine:login"),
        ("machine deb.example login me\n", None),
        ("machine deb.example password s3cret\nmachine deb.example login me password right", "me:right"),
        ("", None),
        ("machine", None),
    ],
)
def test_auth_conf__pair__of_a_text(tmp_path: Path, text: str, expected: str | None) -> None:
    """Words in any order and on any lines; the first whole entry that matches counts; what follows `#` does not."""
    assert expected == pair(tmp_path, text)


def test_auth_conf__folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a folder by name, as apt takes them; apt's own folder comes before its file."""
    folder = tmp_path / "auth.conf.d"
    folder.mkdir()
    for name, user in (("20-b.conf", "b"), ("10-a", "a"), ("05-x.dpkg-old", "x"), ("00-y.conf~", "y")):
        (folder / name).write_text(f"machine deb.example login {user} password s3cret\n")
    (tmp_path / "auth.conf").write_text(
        "machine deb.example login last password s3cret\nmachine d.example login d password s3cret\n"
    )
    assert "a:s3cret" == AuthConf.read(folder).pair(URL)

    monkeypatch.setattr(credential_files, "AUTH_CONF_FOLDER", folder)
    monkeypatch.setattr(credential_files, "AUTH_CONF", tmp_path / "auth.conf")
    own = AuthConf.read(None)
    assert ["a:s3cret", "d:s3cret"] == [own.pair(URL), own.pair("https://d.example/")]


def test_auth_conf__unreadable(tmp_path: Path) -> None:
    """Which file it is that cannot be read."""
    with pytest.raises(LookupError, match=r"missing cannot be read: No such file"):
        AuthConf.read(tmp_path / "missing")


def test_auth_conf__no_utf8(tmp_path: Path) -> None:
    """An entry that is no text is left out, and no other."""
    (tmp_path / "auth.conf").write_bytes(
        b"machine deb.example login me password p\xe4ss\nmachine deb.example login me password s3cret\n"
    )
    assert "me:s3cret" == AuthConf.read(tmp_path / "auth.conf").pair(URL)


def test_auth_conf__nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither file nor folder."""
    monkeypatch.setattr(credential_files, "AUTH_CONF_FOLDER", tmp_path / "d")
    monkeypatch.setattr(credential_files, "AUTH_CONF", tmp_path / "f")
    with pytest.raises(LookupError, match="there is no"):
        AuthConf.read(None)


def test_auth_conf__below(tmp_path: Path) -> None:
    """Whether there is something for an address, or for a part of what is below it."""
    (tmp_path / "auth.conf").write_text("machine deb.example/a/b login me password hunter2\n")
    conf = AuthConf.read(tmp_path / "auth.conf")

    assert [True, True, True, False, False] == [
        conf.below(f"https://{rest}")
        for rest in ("deb.example/", "deb.example/a/", "deb.example/a/b/c/", "deb.example/c/", "d/")
    ]
    assert "hunter2" not in repr(conf) + repr(conf.machines)
