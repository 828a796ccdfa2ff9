"""User names and passwords: from where they are found, and that they are shown nowhere."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.credentials import KnownCredentials
from proxy.config.loading import ConfigError
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings

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
    """The file is named; its content is not shown."""
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
    assert basic("one:hunter2").partition(" ")[2] not in f"{known!r} {known} {known._netrc!r}"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://index.example:8443/root/file.whl", True),
        ("https://INDEX.example:8443/elsewhere", True),
        ("https://index.example.:8443/elsewhere", True),
        ("http://index.example:8443/root/", False),
        ("https://index.example/root/", False),
        ("https://www.index.example:8443/root/", False),
        ("https://files.example:8443/root/", False),
        ("https://index.example.evil.example:8443/root/", False),
    ],
)
def test_authorization__origin_of_the_base(url: str, sent: bool) -> None:
    """Credentials of a variable go to addresses with the base's scheme, host and port."""
    known = KnownCredentials.find(settings(index("env:ONE")), {"ONE": "one:hunter2"})

    assert (basic("one:hunter2") if sent else None) == known.authorization("house", url)


_NETRC = """
machine index.example login a password index-secret
machine FILES.example login b password files-secret
machine mirror.example login c password mirror-secret
machine pages.example login d password pages-secret
machine 127.0.0.1 login e password loop-secret
machine unnamed.example login f password unnamed-secret
machine nothing.example login g
default login z password default-secret
"""


def several(url: str, **more: Any) -> UpstreamSettings:
    """An upstream with several hosts."""
    given = {
        "siblings": ["https://mirror.example/x/", "http://plain.example/"],
        "hosts": ["files.example", "127.0.0.1:8080", "other.example", "nothing.example"],
        "page_hosts": ["pages.example:8443"],
        "credentials": "netrc",
    }
    return UpstreamSettings(mount="house", url=url, **given | more)


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("https://index.example/", "https://index.example/x", "a:index-secret"),
        ("https://index.example/", "https://files.example/x", "b:files-secret"),
        ("https://index.example/", "https://files.example:8443/x", "b:files-secret"),
        ("https://index.example/", "https://mirror.example/x", "c:mirror-secret"),
        ("https://index.example/", "https://pages.example:8443/x", "d:pages-secret"),
        ("https://index.example/", "https://127.0.0.1:8080/x", "e:loop-secret"),
        # no entry of its own: the default is for the host of `url`
        ("https://index.example/", "https://other.example/x", None),
        ("https://index.example/", "https://nothing.example/x", None),
        ("https://elsewhere.example/", "https://elsewhere.example/x", "z:default-secret"),
        # another port than the settings name
        ("https://index.example/", "https://index.example:8443/x", None),
        ("https://index.example/", "https://mirror.example:8443/x", None),
        ("https://index.example/", "https://pages.example/x", None),
        ("https://index.example/", "https://127.0.0.1:8081/x", None),
        # hosts that the file names and the settings do not
        ("https://index.example/", "https://unnamed.example/x", None),
        ("https://index.example/", "https://a.files.example/x", None),
        # plain HTTP, where the index has HTTPS
        ("https://index.example/", "http://index.example/x", None),
        ("https://index.example/", "http://files.example/x", None),
        ("https://index.example/", "http://plain.example/x", None),
        # an index with plain HTTP
        ("http://index.example/", "http://index.example/x", "a:index-secret"),
        ("http://index.example/", "https://index.example/x", "a:index-secret"),
        ("http://index.example/", "https://index.example:8443/x", None),
        ("http://index.example:8080/", "https://index.example/x", None),
        ("http://index.example/", "http://files.example:81/x", "b:files-secret"),
        ("http://index.example/", "https://files.example/x", "b:files-secret"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:8080/x", "e:loop-secret"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:10/x", None),
    ],
)
def test_netrc__further_hosts(tmp_path: Path, base: str, url: str, expected: str | None) -> None:
    """Each host that the settings name gets the credentials that the file has for it; no other host gets any."""
    netrc(tmp_path, _NETRC)
    known = KnownCredentials.find(settings(several(base)), {"HOME": str(tmp_path)})

    assert (expected and basic(expected)) == known.authorization("house", url)
    assert known.authorization("pypi", url) is None


_HOSTS = (
    "index.example",
    "files.example",
    "mirror.example",
    "pages.example",
    "unnamed.example",
    "127.0.0.1",
    "x.example",
)


@given(
    st.sampled_from(("http", "https")),
    st.sampled_from(_HOSTS),
    st.sampled_from(("http", "https")),
    st.sampled_from(_HOSTS),
    st.sampled_from((None, 80, 443, 8080)),
    st.frozensets(st.sampled_from((*_HOSTS, *(f"{host}:8080" for host in _HOSTS)))),
)
def test_netrc__never(
    scheme: str, base: str, asked_scheme: str, asked: str, port: int | None, hosts: frozenset[str]
) -> None:
    """Whatever the settings name: no password leaves for a host that is not named, or for another one than its own."""
    with tempfile.TemporaryDirectory() as folder:
        netrc(Path(folder), _NETRC)
        upstream = UpstreamSettings(mount="house", url=f"{scheme}://{base}/", hosts=hosts, credentials="netrc")
        known = KnownCredentials.find(settings(upstream), {"HOME": folder})
    url = f"{asked_scheme}://{asked}{f':{port}' if port else ''}/x"
    authorization = known.authorization("house", url)
    if authorization is None:
        return
    pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
    assert scheme == "http" or asked_scheme == "https", "nothing travels in the open that was meant for HTTPS"
    number = port or {"http": 80, "https": 443}[asked_scheme]
    own = asked == base and number in {80, 443}
    assert own or asked in hosts or f"{asked}:{number}" in hosts
    entry = next((line.split() for line in _NETRC.splitlines() if f" {asked} " in line.lower()), None)
    assert pair == (f"{entry[3]}:{entry[5]}" if entry else "z:default-secret")
    assert entry is not None or own


def test_netrc__only_a_further_host_has_an_entry(tmp_path: Path) -> None:
    """An index that is open, and sends on to one that is not, needs an entry for that one only."""
    netrc(tmp_path, "machine files.example login b password files-secret\n")
    known = KnownCredentials.find(settings(several("https://index.example/")), {"HOME": str(tmp_path)})

    assert [None, basic("b:files-secret")] == [
        known.authorization("house", f"https://{host}.example/") for host in ("index", "files")
    ]


def test_hosts__that_have_credentials(tmp_path: Path) -> None:
    """They are those that the settings name and the file has, and those that have a setting of their own."""
    netrc(tmp_path, _NETRC)
    upstream = several("https://index.example/", host_credentials={"Cdn.example:8443": "env:CDN"})
    known = KnownCredentials.find(settings(upstream), {"HOME": str(tmp_path), "CDN": "cdn:hunter2"})

    expected = frozenset(
        {"files.example", "127.0.0.1:8080", "mirror.example:443", "pages.example:8443", "cdn.example:8443"}
    )
    assert (expected, frozenset()) == (known.hosts("house"), known.hosts("pypi"))
    site = next(site for site in settings(upstream).sites(known.hosts) if site.mount == "house")
    assert [True, True, False] == [site.owns(f"https://{host}.example/x") for host in ("index", "files", "other")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://index.example/x", "index:one"),
        ("https://files.example/x", "files:two"),
        ("https://files.example:444/x", "files:two"),
        ("https://cdn.example:8443/x", "cdn:three"),
        ("https://cdn.example/x", None),
        ("http://files.example/x", None),
        ("https://[fd00::1]:8443/x", "cdn:three"),
    ],
)
def test_host_credentials__variables(url: str, expected: str | None) -> None:
    """Further hosts have variables of their own."""
    further = {"files.example": "env:FILES", "cdn.example:8443": "env:CDN", "[FD00::1]:8443": "env:CDN"}
    upstream = UpstreamSettings(
        mount="house", url="https://index.example/", credentials="env:INDEX", host_credentials=further
    )
    environ = {"INDEX": "index:one", "FILES": "files:two", "CDN": "cdn:three"}

    known = KnownCredentials.find(settings(upstream), environ)

    assert (expected and basic(expected)) == known.authorization("house", url)


def test_host_credentials__outrank_the_file(tmp_path: Path) -> None:
    """What is said of one host counts for it; it may be the only one that has credentials, from the file too."""
    netrc(tmp_path, _NETRC)
    environ = {"HOME": str(tmp_path), "FILES": "files:two"}
    both = several("https://index.example/", host_credentials={"files.example": "env:FILES"})
    alone = several("https://index.example/", credentials="", host_credentials={"files.example": "netrc"})

    places = [f"https://{host}.example/x" for host in ("index", "files", "mirror")]
    known = [KnownCredentials.find(settings(each), environ) for each in (both, alone)]
    got = [[each.authorization("house", place) for place in places] for each in known]

    assert [basic("a:index-secret"), basic("files:two"), basic("c:mirror-secret")] == got[0]
    assert [None, basic("b:files-secret"), None] == got[1]
    assert settings(alone).sites()[-1].authenticated


def test_host_credentials__that_are_missing(tmp_path: Path) -> None:
    """A variable or an entry that is not there is named, with the host."""
    path = netrc(tmp_path, "machine index.example login a password hunter2\n")
    for further, expected in (
        ({"files.example": "env:FILES"}, "set the variable FILES to user:password"),
        ({"files.example": "netrc"}, f"{path} has no entry with a password for files.example; add one"),
    ):
        upstream = several("https://index.example/", host_credentials=further)
        assert f"credentials of the upstream house: {expected}" == said(upstream, {"HOME": str(tmp_path)})


# Renewal


class Counted(dict[str, str]):
    """Variables, and how often `HOUSE` was looked at."""

    looks = 0

    def get(self, name: str, default: Any = None) -> Any:
        """What the variable holds."""
        self.looks += name == "HOUSE"
        return super().get(name, default)


_URL = "https://index.example:8443/x"


async def test_renewed__variable() -> None:
    """The process's own variables are looked at again; what is the same as before is nothing new."""
    environ = Counted(HOUSE="user:one")
    known = KnownCredentials.find(settings(index("env:HOUSE")), environ)

    assert await known.renewed("house", _URL, basic("user:one")) is None
    environ["HOUSE"] = "user:two"
    assert basic("user:one") == known.authorization("house", _URL)
    assert basic("user:two") == await known.renewed("house", _URL, basic("user:one"))
    assert basic("user:two") == known.authorization("house", _URL)
    assert await known.renewed("house", _URL, basic("user:two")) is None


@pytest.mark.parametrize("in_place", [True, False])
async def test_renewed__file(tmp_path: Path, in_place: bool) -> None:
    """The file is read again, whether it was written over or replaced, be it as long as before."""
    path = netrc(tmp_path, "default login user password one\n")
    known = KnownCredentials.find(settings(index("netrc")), {"HOME": str(tmp_path)})
    for password in ("two", "six"):
        before = known.authorization("house", _URL)
        if not in_place:
            path.unlink()
        netrc(tmp_path, f"default login user password {password}\n")
        assert basic(f"user:{password}") == await known.renewed("house", _URL, before)


async def test_renewed__many_at_once() -> None:
    """However many requests are refused together, there is one look, and one for those who came while it was taken."""
    environ = Counted(HOUSE="user:one")
    known = KnownCredentials.find(settings(index("env:HOUSE")), environ)
    environ["HOUSE"], environ.looks = "user:two", 0

    found = await asyncio.gather(*(known.renewed("house", _URL, basic("user:one")) for _ in range(100)))

    assert [basic("user:two")] * 100 == found
    assert environ.looks == 1
    assert basic("user:two") == await known.renewed("house", _URL, basic("user:one"))
    assert environ.looks == 1, "who was refused something older gets what is known"
    assert [None] * 100 == await asyncio.gather(*(known.renewed("house", _URL, basic("user:two")) for _ in range(100)))
    assert environ.looks <= 3


async def test_renewed__entry_for_a_host_that_had_none(tmp_path: Path) -> None:
    """A password that is added while the cache runs is found when the host wants one."""
    netrc(tmp_path, "machine index.example login a password index-secret\n")
    known = KnownCredentials.find(settings(several("https://index.example/")), {"HOME": str(tmp_path)})
    assert known.authorization("house", "https://files.example/x") is None
    netrc(tmp_path, _NETRC)
    assert basic("b:files-secret") == await known.renewed("house", "https://files.example/x", None)
    assert await known.renewed("house", "https://unnamed.example/x", None) is None


@pytest.mark.parametrize("text", [None, "machine index.example login user pasword hunter2\n"])
async def test_renewed__file_is_broken(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None) -> None:
    """What was known counts on; the reason is logged once, and again once it had been right, without a secret."""
    good = "default login user password hunter2\n"
    path = netrc(tmp_path, good)
    known = KnownCredentials.find(settings(index("netrc")), {"HOME": str(tmp_path)})
    for content in (text, text, good, text):
        path.unlink(missing_ok=True)
        if content is not None:
            netrc(tmp_path, content)
        assert await known.renewed("house", _URL, basic("user:hunter2")) is None
        assert basic("user:hunter2") == known.authorization("house", _URL)
    reasons = [record.__dict__["reason"] for record in caplog.records]
    assert [True, True] == [str(path) in reason for reason in reasons]
    assert not [record for record in caplog.records if SECRET in f"{record.__dict__}"]


async def test_renewed__of_another_mount() -> None:
    """A mount without credentials has nothing to look at."""
    environ = Counted(HOUSE="user:one")
    known = KnownCredentials.find(settings(index("env:HOUSE")), environ)
    environ.looks = 0
    assert await known.renewed("pypi", _URL, None) is None
    assert environ.looks == 0


def archive(url: str, credentials: str) -> dict[str, Any]:
    """An archive of the settings."""
    return {"url": url, "credentials": credentials}


def sent(environ: dict[str, str], *archives: dict[str, Any], urls: list[str]) -> list[str | None]:
    """The `Authorization` that requests of these addresses carry."""
    known = KnownCredentials.find(Settings(data=Path("/data"), archives=archives), environ)
    assert SECRET not in repr(known)
    return [known.authorization("apt", url) for url in urls]


def test_archives__by_their_addresses(tmp_path: Path) -> None:
    """The longest one counts, also where it has none; plain HTTP gets some only where it is written so."""
    netrc(tmp_path, f"machine net.example login n password {SECRET}\ndefault login d password {SECRET}\n")
    environ = {"HOME": str(tmp_path), "ONE": f"one:{SECRET}", "TWO": f"two:{SECRET}"}
    entries = [
        archive("https://deb.example/", "env:ONE"),
        archive("deb.example/two", "env:TWO"),
        archive("deb.example/two/open", ""),
        archive("http://10.0.0.7:8080/", "env:ONE"),
        archive("net.example", "netrc"),
    ]
    expected = {
        "https://deb.example/debian/a": f"one:{SECRET}",
        "https://deb.example:443/twofold/a": f"one:{SECRET}",
        "http://deb.example/debian/a": None,
        "https://deb.example/two/a": f"two:{SECRET}",
        "http://deb.example/two/a": None,
        "https://deb.example/two/open/a": None,
        "http://10.0.0.7:8080/a": f"one:{SECRET}",
        "http://10.0.0.7/a": None,
        "https://net.example/a": f"n:{SECRET}",
        "https://other.example/a": None,
    }
    assert [basic(pair) if pair else None for pair in expected.values()] == sent(environ, *entries, urls=list(expected))


def test_archives__file_of_apt(tmp_path: Path) -> None:
    """The entry of the file says whether it is meant for plain HTTP; what the file has for others is for nobody."""
    (tmp_path / "auth").write_text(
        f"machine deb.example/a login a password {SECRET}\nmachine http://deb.example/b login b password {SECRET}\n"
        f"machine other.example login o password {SECRET}\n"
    )
    urls = [f"{scheme}://{rest}" for scheme in ("http", "https") for rest in ("deb.example/a/x", "deb.example/b/x")]
    entries = [archive("deb.example", "auth.conf:~/auth")]
    got = sent({"HOME": str(tmp_path)}, *entries, urls=[*urls, "https://other.example/x"])

    assert [None, basic(f"b:{SECRET}"), basic(f"a:{SECRET}"), None, None] == got


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        ("env:MISSING", "set the variable MISSING"),
        ("netrc", "cannot be read"),
        ("auth.conf:/nowhere/auth.conf", "/nowhere/auth.conf cannot be read"),
        ("auth.conf:~/empty", "no entry with a login and a password"),
        ("auth.conf:~/https", "one for plain HTTP begins with http://"),
    ],
)
def test_archives__not_there(tmp_path: Path, credentials: str, reason: str) -> None:
    """What is missing is said at the start."""
    (tmp_path / "empty").write_text(f"machine other.example login me password {SECRET}\n")
    (tmp_path / "https").write_text(f"machine deb.example login me password {SECRET}\n")
    made = Settings(data=Path("/data"), archives=(archive("http://deb.example/", credentials),))
    with pytest.raises(ConfigError, match=r"credentials of the archive http://deb\.example/: ") as caught:
        KnownCredentials.find(made, {"HOME": str(tmp_path)})
    (line,) = caught.value.errors
    assert reason in line
    assert SECRET not in line
