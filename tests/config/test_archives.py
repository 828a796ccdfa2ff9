"""The settings of apt archives."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from proxy.config.archives import TUNNELS, AptSettings
from proxy.config.loading import ConfigError, resolve
from proxy.config.settings import Settings

_HOME = {"HOME": "/home/somebody"}


def test_defaults() -> None:
    """Every public archive is served, up to its Valid-Until."""
    apt = AptSettings()

    assert (frozenset(), frozenset(), 20.0, False) == (apt.hosts, apt.paths, apt.window, apt.serve_expired)


def test_load__from_every_place(tmp_path: Path) -> None:
    """Lists are texts with commas in flags and variables, lists in the file."""
    (tmp_path / "pullthrough.toml").write_text('[apt]\nhosts = ["A.example", "b.example:8080"]\nwindow = "1m"\n')
    flags = {"data": str(tmp_path), "apt.serve_expired": "true"}

    settings = resolve(flags, {"PULLTHROUGH_APT_PATHS": "isos/*.iso, b/*"}, tmp_path).settings

    assert {"a.example", "b.example:8080"} == settings.apt.hosts
    assert {"isos/*.iso", "b/*"} == settings.apt.paths
    assert (60.0, True) == (settings.apt.window, settings.apt.serve_expired)
    assert {"c.example"} == resolve(flags, {"PULLTHROUGH_APT_HOSTS": "c.example"}, tmp_path).settings.apt.hosts


@pytest.mark.parametrize("host", ["http://a.example", "a.example/", "a b", "", "a@b", "a:0", "-a", "a:99999999"])
def test_hosts__malformed(host: str) -> None:
    """A host is a name or an address, with a port if need be."""
    with pytest.raises(ValidationError, match="must be names of hosts"):
        AptSettings(hosts=frozenset({host}))


@pytest.mark.parametrize("agent", ["", "a\nb", "ä", " a", "a" * 300])
def test_user_agent__malformed(agent: str) -> None:
    """A header field has one line of ASCII."""
    with pytest.raises(ValidationError, match="must be words in one line"):
        AptSettings(user_agent=agent)


@pytest.mark.parametrize("pattern", ["/a", "", "a\\b", "a\nb"])
def test_paths__malformed(pattern: str) -> None:
    """A pattern is of a path without its leading slash."""
    with pytest.raises(ValidationError, match="must be patterns of paths"):
        AptSettings(paths=frozenset({pattern}))


def test_serve_expired__neither(tmp_path: Path) -> None:
    """Anything but true or false is refused, by the name that was written."""
    with pytest.raises(ConfigError, match="PULLTHROUGH_APT_SERVE_EXPIRED"):
        resolve({"data": str(tmp_path)}, {"PULLTHROUGH_APT_SERVE_EXPIRED": "perhaps"}, tmp_path)


def test_mount__apt_is_reserved(tmp_path: Path) -> None:
    """The metrics call all archives `apt`: no mount has that name."""
    with pytest.raises(ValidationError, match="apt"):
        Settings(data=tmp_path, upstreams=({"mount": "apt", "url": "https://index.example/"},))


def test_defaults__tunnel_to_few_and_announce_nothing(tmp_path: Path) -> None:
    """Without settings nothing is announced, and tunnels go to the listed publishers, at no port of their own."""
    apt = resolve({}, _HOME, tmp_path).settings.apt
    assert (TUNNELS, False) == (apt.tunnels, apt.announce)
    assert [] == [host for host in TUNNELS if ":" in host]
    assert {"metadata.ftp-master.debian.org", "changelogs.ubuntu.com"} < TUNNELS, "apt-get changelog asks these"


def test_sources__file_variable_flag(tmp_path: Path) -> None:
    """Each place can give them, in the form that is usual there."""
    (tmp_path / "pullthrough.toml").write_text('[apt]\ntunnels = ["a.example"]\nannounce = true\n', encoding="utf-8")
    file = resolve({}, _HOME, tmp_path).settings.apt
    variables = {"PULLTHROUGH_APT_TUNNELS": "b.example,c.example:8443", "PULLTHROUGH_APT_ANNOUNCE": "false"}
    variable = resolve({}, _HOME | variables, tmp_path).settings.apt
    flag = resolve({"apt.tunnels": "", "apt.announce": "true"}, _HOME | variables, tmp_path).settings.apt
    assert (frozenset({"a.example"}), True) == (file.tunnels, file.announce)
    assert (frozenset({"b.example", "c.example:8443"}), False) == (variable.tunnels, variable.announce)
    assert (frozenset(), True) == (flag.tunnels, flag.announce)


def test_archive__from_the_file(tmp_path: Path) -> None:
    """What is said of one archive; the list may stand in a variable."""
    (tmp_path / "pullthrough.toml").write_text(
        '[[archive]]\nurl = "GitLab.example/api/v4"\ncredentials = "auth.conf"\nwindow = "1m"\npaths = ["*.json"]\n'
        'client_credentials = true\nuser_agent = "corp"\n'
    )
    (one,) = resolve({"data": str(tmp_path)}, {}, tmp_path).settings.archives

    assert ("gitlab.example/api/v4/", "auth.conf", 60.0, frozenset({"*.json"}), True, "corp") == (
        one.url,
        one.credentials,
        one.window,
        one.paths,
        one.client_credentials,
        one.user_agent,
    )
    environ = {"PULLTHROUGH_ARCHIVES": '[{"url": "https://deb.example"}]'}
    (other,) = resolve({"data": str(tmp_path)}, environ, tmp_path).settings.archives
    assert ("https://deb.example/", "", None, False) == (
        other.url,
        other.credentials,
        other.window,
        other.client_credentials,
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('url = "https://me:hunter2@deb.example"', "archive #1: url: must not hold a user name or password"),
        ('url = "a"\ncredentials = "me:hunter2"', "archive #1: credentials: must be netrc, auth.conf"),
        ('url = "a"\ncredential = "netrc"', "credential: no such setting; did you mean credentials?"),
        ('url = "a"\npaths = ["/x"]', "archive #1: paths: must be patterns"),
        ('url = "a"\nuser_agent = "ä"', "archive #1: user_agent: must be words"),
        ('url = "a"\nwindow = "soon"', "archive #1: window: must be a time"),
        ('credentials = "netrc"', "archive #1: url: is missing"),
        ('url = "https://A:443/b"\n[[archive]]\nurl = "https://a/b/"', "https://a/b/ is there twice"),
    ],
)
def test_archive__malformed(tmp_path: Path, line: str, reason: str) -> None:
    """Each complaint names the entry and the key, and shows no password."""
    (tmp_path / "pullthrough.toml").write_text(f"[[archive]]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        resolve({"data": str(tmp_path)}, {}, tmp_path)
    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)
