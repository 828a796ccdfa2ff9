"""User names and passwords: from where they are found, and that they are shown nowhere."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from proxy.config import ConfigError, Settings, UpstreamSettings
from proxy.config.credentials import KnownCredentials

SECRET = "hunter2"


def settings(*upstreams: UpstreamSettings) -> Settings:
    """Settings with these upstreams."""
    return Settings(data=Path("/data"), upstreams=upstreams)


def index(credentials: str, mount: str = "house", url: str = "https://Index.example:8443/root/") -> UpstreamSettings:
    """An upstream that wants to know who asks."""
    return UpstreamSettings(mount=mount, url=url, credentials=credentials)


def basic(pair: str) -> str:
    """The header's value (RFC 7617)."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def netrc(folder: Path, text: str, name: str = ".netrc") -> Path:
    """A netrc file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def found(environ: dict[str, str], *upstreams: UpstreamSettings) -> dict[str, str | None]:
    """What each of the upstreams is sent, by mount."""
    known = KnownCredentials.find(settings(*upstreams), environ)
    return {upstream.mount: known.authorization(upstream.mount, upstream.url) for upstream in upstreams}


def said(upstream: UpstreamSettings, environ: dict[str, str]) -> str:
    """The one complaint; it is a person's to read, and shows no secret, in whatever way it is shown."""
    with pytest.raises(ConfigError) as caught:
        KnownCredentials.find(settings(upstream), environ)
    (line,) = caught.value.errors
    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in f"{chain!r} {chain}"
        chain = None if chain.__suppress_context__ else chain.__context__
    return line


def test_find__none() -> None:
    """Upstreams without credentials have none, the built-in ones too; the surroundings are not looked at."""
    assert {"house": None} == found({"NETRC": "/nowhere"}, index(""))


@pytest.mark.parametrize("pair", ["user:hunter2", "user:", ":token", "user:a:b c", "üser:pässwörd"])
def test_env__user_and_password(pair: str) -> None:
    """The variable holds both, parted by the first colon; what is sent is UTF-8."""
    assert {"house": basic(pair)} == found({"HOUSE": pair, "OTHER": "x:y"}, index("env:HOUSE"))


@pytest.mark.parametrize(
    "environ", [{}, {"HOUSE": ""}, {"HOUSE": SECRET}, {"HOUSE": f"user:{SECRET}\r\nX: y"}], ids=str
)
def test_env__nothing_of_use(environ: dict[str, str]) -> None:
    """It is said which variable to set, and how; not what stands there."""
    assert "credentials of the upstream house: set the variable HOUSE to user:password" == said(
        index("env:HOUSE"), environ
    )


@pytest.mark.parametrize(
    "text",
    [
        "machine index.example login user password hunter2\n",
        "machine other.example login x password y\nmachine index.example\n  login user\n  password hunter2\n",
        "default login user password hunter2\n",
        'machine index.example login "user" password "hunter2"\n',
    ],
)
def test_netrc__entry_of_the_host(tmp_path: Path, text: str) -> None:
    """The entry is the host's, whatever its port and case, else the default."""
    netrc(tmp_path, text)

    assert {"house": basic("user:hunter2")} == found({"HOME": str(tmp_path)}, index("netrc"))


def test_netrc__which_file(tmp_path: Path) -> None:
    """$NETRC names another file than the one at home."""
    netrc(tmp_path, "default login home password hunter2\n")
    other = netrc(tmp_path, "default login other password hunter2\n", "secrets")

    each = [found({"HOME": str(tmp_path), "NETRC": named}, index("netrc")) for named in ("", str(other))]

    assert [{"house": basic("home:hunter2")}, {"house": basic("other:hunter2")}] == each


@pytest.mark.parametrize(
    "text",
    [
        "machine other.example login user password hunter2\n",
        "machine sub.index.example login user password hunter2\n",
        "machine index.example login hunter2\n",
        "",
    ],
)
def test_netrc__no_entry(tmp_path: Path, text: str) -> None:
    """A file that says nothing of the host, or has no password for it, is named."""
    path = netrc(tmp_path, text)

    assert said(index("netrc"), {"HOME": str(tmp_path)}).startswith(
        f"credentials of the upstream house: {path} has no entry with a password for its host"
    )


@pytest.mark.parametrize("text", ["machine index.example login user pasword hunter2\n", "hunter2\n"])
def test_netrc__that_is_none(tmp_path: Path, text: str) -> None:
    """The file is named; what stands in it is not told."""
    path = netrc(tmp_path, text)

    assert f"credentials of the upstream house: {path} is no netrc file" == said(
        index("netrc"), {"HOME": str(tmp_path)}
    )


def test_netrc__cannot_be_read(tmp_path: Path) -> None:
    """A file that is missing, or is a folder, is named with the reason."""
    (tmp_path / "folder").mkdir()

    for name in ("missing", "folder"):
        path = tmp_path / name
        line = said(index("netrc"), {"NETRC": str(path)})
        assert line.startswith(f"credentials of the upstream house: {path} cannot be read: ")


def test_find__every_complaint_in_one_go(tmp_path: Path) -> None:
    """One line for each upstream whose credentials are not there; none is used then."""
    upstreams = (index("env:ONE", "one"), index("env:TWO", "two"), index("netrc", "three"))

    with pytest.raises(ConfigError) as caught:
        KnownCredentials.find(settings(*upstreams), {"ONE": "user:hunter2", "HOME": str(tmp_path)})

    assert ["two", "three"] == [line.split(":")[0].rpartition(" ")[2] for line in caught.value.errors]


def test_authorization__each_mounts_own() -> None:
    """Each upstream gets its own, and shows it nowhere."""
    upstreams = (index("env:ONE", "one"), index("env:TWO", "two"), index("", "three"))
    known = KnownCredentials.find(settings(*upstreams), {"ONE": "one:hunter2", "TWO": "two:hunter2"})

    assert [basic("one:hunter2"), basic("two:hunter2"), None, None] == [
        known.authorization(mount, upstreams[0].url) for mount in ("one", "two", "three", "pypi")
    ]
    assert [True, True, False] == [site.authenticated for site in settings(*upstreams).sites()[-3:]]
    assert basic("one:hunter2").partition(" ")[2] not in f"{known!r} {known}"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://index.example:8443/root/file.whl", True),
        ("https://INDEX.example:8443/elsewhere", True),
        ("http://index.example:8443/root/", False),
        ("https://index.example/root/", False),
        ("https://www.index.example:8443/root/", False),
        ("https://files.example:8443/root/", False),
        ("https://index.example.evil.example:8443/root/", False),
    ],
)
def test_authorization__origin_of_the_base(url: str, sent: bool) -> None:
    """Credentials go to addresses with the base's scheme, host and port."""
    known = KnownCredentials.find(settings(index("env:ONE")), {"ONE": "one:hunter2"})

    assert (basic("one:hunter2") if sent else None) == known.authorization("house", url)
