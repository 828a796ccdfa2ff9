"""From file, environment and flags to settings, or to every error at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.config.loading import ConfigError, resolve
from proxy.config.settings import Settings

_HOME = {"HOME": "/home/somebody"}


def _load(tmp_path: Path, toml: str = "", environ: Mapping[str, str] = _HOME, **flags: str) -> Settings:
    (tmp_path / "pullthrough.toml").write_text(toml, encoding="utf-8")
    return resolve({name.replace("__", "."): value for name, value in flags.items()}, environ, tmp_path).settings


def _errors(tmp_path: Path, toml: str = "", environ: Mapping[str, str] = _HOME, **flags: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, toml, environ, **flags)
    return [line.replace(f"{tmp_path}/", "") for line in caught.value.errors]


def test_load__precedence(tmp_path: Path) -> None:
    """A flag beats the environment, which beats the file, which beats the default; each table is merged."""
    toml = 'port = 1\nhost = "10.0.0.1"\ndisk = "1 GB"\n[fetch]\nretries = 7\nconnections = 3\nsegment = "1 MiB"\n'
    environ = {**_HOME, "PULLTHROUGH_PORT": "2", "PULLTHROUGH_HOST": "10.0.0.2", "PULLTHROUGH_FETCH_CONNECTIONS": "4"}

    settings = _load(tmp_path, toml, environ, port="3", fetch__segment="2 MiB")

    assert (3, ("10.0.0.2",), 10**9) == (settings.port, settings.host, settings.disk)
    fetch = settings.fetch
    assert (7, 4, 2 * 2**20, 10.0) == (fetch.retries, fetch.connections, fetch.segment, fetch.connect_timeout)


def test_load__nested_names_with_underscores(tmp_path: Path) -> None:
    """Only the first underscore of a variable parts table from key."""
    environ = {**_HOME, "PULLTHROUGH_FETCH_CONNECT_TIMEOUT": "1m", "PULLTHROUGH_PAGE_LIMIT": "1 MB"}

    settings = _load(tmp_path, environ=environ)

    assert (60.0, 10**6) == (settings.fetch.connect_timeout, settings.page_limit)


def test_load__empty_variable_counts_as_unset(tmp_path: Path) -> None:
    """Compose files hand on empty variables for what was not set."""
    assert _load(tmp_path, environ={**_HOME, "PULLTHROUGH_PORT": ""}).port == 3142


def test_load__upstreams_of_the_environment(tmp_path: Path) -> None:
    """The environment's list replaces the file's."""
    toml = '[[upstream]]\nmount = "file"\nurl = "http://index.example"\n'
    environ = {**_HOME, "PULLTHROUGH_UPSTREAMS": '[{"mount": "env", "url": "http://index.example", "ttl": "1h"}]'}

    assert [("env", 3600.0)] == [(entry.mount, entry.ttl) for entry in _load(tmp_path, toml, environ).upstreams]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/var/tmp/c"}, "/var/tmp/c/pullthrough"),
        ({"HOME": "/home/a", "PULLTHROUGH_DATA": "/srv/cache"}, "/srv/cache"),
        ({"HOME": "/home/a", "PULLTHROUGH_DATA": "~/kept"}, "/home/a/kept"),
        ({"PULLTHROUGH_DATA": "/srv/cache"}, "/srv/cache"),
    ],
)
def test_load__data_folder(tmp_path: Path, environ: dict[str, str], folder: str) -> None:
    """The data folder is the one named, else in the user's cache folder."""
    assert Path(folder) == _load(tmp_path, environ=environ).data


@pytest.mark.parametrize(("platform", "folder"), [("linux", ".cache"), ("darwin", "Library/Caches")])
def test_load__data_folder_of_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, folder: str
) -> None:
    """Each platform has its own cache folder; a relative XDG_CACHE_HOME does not count, as its specification says."""
    monkeypatch.setattr("sys.platform", platform)

    assert (
        Path("/home/somebody", folder, "pullthrough") == _load(tmp_path, environ={**_HOME, "XDG_CACHE_HOME": "x"}).data
    )


def test_load__relative_data_folder(tmp_path: Path) -> None:
    """A relative folder in a file is below the file; on the command line it is below the working folder."""
    elsewhere = tmp_path / "etc" / "settings.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_text('data = "kept"\n', encoding="utf-8")

    assert tmp_path / "etc" / "kept" == resolve({"config": str(elsewhere)}, _HOME, tmp_path).settings.data
    assert tmp_path / "kept" == resolve({"data": "kept"}, _HOME, tmp_path).settings.data


def test_load__which_file(tmp_path: Path) -> None:
    """The file is the flag's, else the variable's, else the working folder's, else the configuration folder's."""
    places = [tmp_path / "flag.toml", tmp_path / "variable.toml", tmp_path / "pullthrough.toml"]
    places.append(tmp_path / "config" / "pullthrough" / "pullthrough.toml")
    places[-1].parent.mkdir(parents=True)
    for number, place in enumerate(places, start=1):
        place.write_text(f"port = {number}\n", encoding="utf-8")
    environ = {**_HOME, "XDG_CONFIG_HOME": str(tmp_path / "config"), "PULLTHROUGH_CONFIG": "variable.toml"}

    assert resolve({"config": "flag.toml"}, environ, tmp_path).settings.port == 1
    assert resolve({}, environ, tmp_path).settings.port == 2
    del environ["PULLTHROUGH_CONFIG"]
    assert resolve({}, environ, tmp_path).settings.port == 3
    places[2].unlink()
    assert resolve({}, environ, tmp_path).settings.port == 4
    places[3].unlink()
    assert resolve({}, environ, tmp_path).settings.port == 3142


def test_errors__all_at_once_by_the_name_that_was_written(tmp_path: Path) -> None:
    """File, environment and flags are judged in one go, and each line names what to change."""
    toml = 'prot = 1\nconnections = 4\nserve = 7\n[fetch]\nconections = 3\nread_timeout = "soon"\nretries = 2.5\n'
    environ = {**_HOME, "PULLTHROUGH_DISK": "much", "PULLTHROUGH_DISC": "5 GB"}

    assert {
        "--port: must be a whole number",
        "PULLTHROUGH_DISC: no such setting; did you mean PULLTHROUGH_DISK?",
        "PULLTHROUGH_DISK: must be a size such as 100 GB or 512 MiB, or a number of bytes",
        "pullthrough.toml: connections: no such setting; did you mean fetch.connections?",
        "pullthrough.toml: fetch.conections: no such setting; did you mean connections?",
        "pullthrough.toml: fetch.read_timeout: must be a time such as 30s, 10m or 1h, or a number of seconds",
        "pullthrough.toml: fetch.retries: must be a whole number",
        "pullthrough.toml: prot: no such setting; did you mean port?",
        "pullthrough.toml: serve: must be a table",
    } == set(_errors(tmp_path, toml, environ, port="abc"))


def test_errors__upstreams(tmp_path: Path) -> None:
    """Entries are told apart by their number; a mount claimed twice is said although other things are wrong too."""
    toml = (
        '[[upstream]]\nmount = "one"\nurl = "http://index.example"\n'
        '[[upstream]]\nmount = "one"\nurl = "http://user:hunter2@index.example"\nttll = 3\nhosts = "files.example"\n'
        "[[upstream]]\n"
    )

    assert {
        "pullthrough.toml: upstream #2: url: must not hold a user name or password; see credentials",
        "pullthrough.toml: upstream #2: ttll: no such setting; did you mean ttl?",
        "pullthrough.toml: upstream #2: hosts: must be a list",
        "pullthrough.toml: upstream #3: mount: is missing",
        "pullthrough.toml: upstream #3: url: is missing",
        "pullthrough.toml: upstream: mount one is there twice; each upstream and group needs a mount of its own",
    } == set(_errors(tmp_path, toml))


def test_errors__mount_twice_and_all_else_right(tmp_path: Path) -> None:
    """It is said once."""
    entry = '[[upstream]]\nmount = "one"\nurl = "http://index.example"\n'

    assert [
        "pullthrough.toml: upstream: mount one is there twice; each upstream and group needs a mount of its own"
    ] == _errors(tmp_path, entry * 2)


@pytest.mark.parametrize(
    ("toml", "error"),
    [
        ("port = = 3", "pullthrough.toml: is not TOML: Invalid value (at line 1, column 8)"),
        ("upstreams = []", "pullthrough.toml: upstreams: no such setting; did you mean [[upstream]]?"),
        (
            "upstream = 3",
            "pullthrough.toml: upstream: must be a list: write [[upstream]], in double brackets, above each of them",
        ),
        (
            '[upstream]\nmount = "a"\nurl = "https://index.example/"',
            "pullthrough.toml: upstream: must be a list: write [[upstream]], in double brackets, above each of them",
        ),
        (
            '[group]\nmount = "a"\nmembers = ["pypi"]',
            "pullthrough.toml: group: must be a list: write [[group]], in double brackets, above each of them",
        ),
        (
            f"port = {'9' * 5000}",
            "pullthrough.toml: has a number that is too long, or too many brackets within each other",
        ),
        (
            f"upstream = {'[' * 5000}{']' * 5000}",
            "pullthrough.toml: has a number that is too long, or too many brackets within each other",
        ),
        ("upstream = [3]", "pullthrough.toml: upstream #1: must be a table"),
        ("zebra = 3", "pullthrough.toml: zebra: no such setting"),
        ("data = 3", "pullthrough.toml: data: must be the name of a folder"),
        ('data = ""', "pullthrough.toml: data: must be the name of a folder"),
        ('data = "a\\u0000b"', "pullthrough.toml: data: must be the name of a folder"),
        ("port = 65536", "pullthrough.toml: port: must be less than or equal to 65535"),
        ("port = true", "pullthrough.toml: port: must be a whole number"),
        (
            'host = "127.0.0.1:80"',
            "pullthrough.toml: host: must be an address or a host name, such as 127.0.0.1, without a port",
        ),
    ],
)
def test_errors__file(tmp_path: Path, toml: str, error: str) -> None:
    """Each way to get the file wrong has its line."""
    assert [error] == _errors(tmp_path, toml)


def test_errors__file_in_another_encoding(tmp_path: Path) -> None:
    """A file that is no text is named."""
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match=r"settings\.toml: is not a text in UTF-8"):
        resolve({"config": "settings.toml"}, _HOME, tmp_path)


@pytest.mark.parametrize(
    ("flags", "environ", "name"),
    [({"config": "no.toml"}, {}, "--config"), ({}, {"PULLTHROUGH_CONFIG": "no.toml"}, "PULLTHROUGH_CONFIG")],
)
def test_errors__named_file_is_missing(
    tmp_path: Path, flags: dict[str, str], environ: dict[str, str], name: str
) -> None:
    """A file that was named must be there; the message says who named it."""
    with pytest.raises(ConfigError) as caught:
        resolve(flags, {**_HOME, **environ}, tmp_path)

    assert [f"{name}: there is no file {tmp_path / 'no.toml'}"] == caught.value.errors


def test_errors__flag_of_a_variable_that_is_not_set(tmp_path: Path) -> None:
    """`--data "$NOTHING"` does not make the working folder one of stored files; `--config` likewise names none."""
    with pytest.raises(ConfigError) as folder:
        resolve({"data": ""}, _HOME, tmp_path)
    with pytest.raises(ConfigError) as file:
        resolve({"config": ""}, _HOME, tmp_path)

    assert folder.value.errors == ["--data: must be the name of a folder"]
    assert file.value.errors == [f"--config: {tmp_path} is a folder; name the file in it"]


def test_errors__named_file_is_a_folder(tmp_path: Path) -> None:
    """A folder that was named is said to be one, with the file that may be meant."""
    (tmp_path / "etc").mkdir()
    with pytest.raises(ConfigError) as without:
        resolve({"config": "etc"}, _HOME, tmp_path)
    (tmp_path / "etc" / "pullthrough.toml").touch()
    with pytest.raises(ConfigError) as inside:
        resolve({"config": "etc"}, _HOME, tmp_path)

    line = f"--config: {tmp_path / 'etc'} is a folder; name the file in it"
    assert [line] == without.value.errors
    assert [f"{line}: {tmp_path / 'etc' / 'pullthrough.toml'}"] == inside.value.errors


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b"# nothing\r\n", None])
def test_file__with_nothing_in_it(tmp_path: Path, body: bytes | None) -> None:
    """A file without settings is one, and so is /dev/null: nothing else is looked for then."""
    (tmp_path / "pullthrough.toml").write_text("port = 1\n", encoding="utf-8")
    if body is not None:
        (tmp_path / "named.toml").write_bytes(body)
    named = os.devnull if body is None else "named.toml"

    assert resolve({"config": named}, _HOME, tmp_path).settings.port == 3142
    assert resolve({}, {**_HOME, "PULLTHROUGH_CONFIG": named}, tmp_path).settings.port == 3142


def test_file__mark_of_an_editor(tmp_path: Path) -> None:
    """A byte order mark and carriage returns are no part of the settings."""
    (tmp_path / "pullthrough.toml").write_bytes(b'\xef\xbb\xbfport = 1\r\nhost = "::1"\r\n')

    settings = resolve({}, _HOME, tmp_path).settings

    assert (1, ("::1",)) == (settings.port, settings.host)


def test_file__from_a_pipe(tmp_path: Path) -> None:
    """A pipe is read once, as in `--config <(…)`; it has no folder, so that a relative one is the working folder's."""
    reading, writing = os.pipe()
    os.write(writing, b'port = 1\ndata = "kept"\n')
    os.close(writing)

    settings = resolve({"config": f"/dev/fd/{reading}"}, _HOME, tmp_path).settings
    os.close(reading)

    assert (1, tmp_path / "kept") == (settings.port, settings.data)


def test_errors__file_without_an_end(tmp_path: Path) -> None:
    """What is no settings file at all is not read to its end."""
    with pytest.raises(ConfigError, match="/dev/zero: is no settings file: it has more than 1 MiB"):
        resolve({"config": "/dev/zero"}, _HOME, tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_errors__folder_that_may_not_be_entered(tmp_path: Path, named: bool) -> None:
    """A file that was named says why it cannot be read; a place that is only looked at holds none."""
    long = "x" * 300  # an error of stat(2) that root meets too
    flags = {"config": f"{long}/p.toml"} if named else {}
    environ = {**_HOME, "XDG_CONFIG_HOME": f"/{long}"}

    if not named:
        assert resolve(flags, environ, tmp_path).settings.port == 3142
        return
    with pytest.raises(ConfigError, match=r"p\.toml cannot be read: File name too long"):
        resolve(flags, environ, tmp_path)


def test_errors__no_home(tmp_path: Path) -> None:
    """Without any place for the data folder it is said how to name one."""
    assert ["data: there is no home folder to put it in; give --data or set PULLTHROUGH_DATA"] == _errors(
        tmp_path, environ={}
    )


@pytest.mark.parametrize("text", ["pypi", "[" * 9000, "9" * 5000])
def test_errors__upstreams_of_the_environment(tmp_path: Path, text: str) -> None:
    """A list that is no JSON is named by its variable."""
    assert ["PULLTHROUGH_UPSTREAMS: must be a JSON list of upstreams"] == _errors(
        tmp_path, environ={**_HOME, "PULLTHROUGH_UPSTREAMS": text}
    )


def test_load__variables_of_an_orchestrator(tmp_path: Path) -> None:
    """A service called `pullthrough` puts variables of its own into containers: they are no settings and no errors."""
    strays = ["SERVICE_HOST", "SERVICE_PORT", "PORT_3142_TCP", "PORT_3142_TCP_ADDR", "SERVE_PORT", "FETCH_SERVICE_HOST"]

    assert (
        _load(tmp_path, environ={**_HOME, **{f"PULLTHROUGH_{stray}": "tcp://10.0.0.1" for stray in strays}}).port
        == 3142
    )


@pytest.mark.parametrize("link", ["tcp://10.96.0.7:3142", "tcp://[fd00::7]:3142"])
def test_load__port_of_an_orchestrator(tmp_path: Path, link: str) -> None:
    """Kubernetes calls one of them as this program calls a setting: that is no port, and does not stop the start."""
    assert 3142 == _load(tmp_path, environ={**_HOME, "PULLTHROUGH_PORT": link}).port
    assert ["PULLTHROUGH_PORT: must be a whole number"] == _errors(
        tmp_path, environ={**_HOME, "PULLTHROUGH_PORT": "tcp://cache"}
    )


def test_origin__each_place(tmp_path: Path) -> None:
    """Every value remembers where it came from."""
    (tmp_path / "pullthrough.toml").write_text("[fetch]\nretries = 1\n", encoding="utf-8")

    resolved = resolve({"port": "0"}, {**_HOME, "PULLTHROUGH_HOST": "::"}, tmp_path)

    assert ["flag", "environment", "file", "default", "default"] == [
        resolved.origin(path).kind for path in [("port",), ("host",), ("fetch", "retries"), ("disk",), ("data",)]
    ]
