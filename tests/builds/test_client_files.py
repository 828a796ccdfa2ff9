"""The files of clients, and how their texts change."""

from __future__ import annotations

import configparser
import io
import json
import sys
import tomllib
from pathlib import Path

import pytest

from proxy.builds.client_files import (
    CLIENTS,
    CacheAddress,
    ClientFile,
    FileRefused,
    client_files,
    with_block,
    without_block,
    without_ours,
)

_ADDRESS = CacheAddress("http://127.0.0.1:3142", "http://172.17.0.1:3142")
_URL = "http://127.0.0.1:3142/pypi/simple/"


def _file(client: str) -> ClientFile:
    return next(one for one in client_files({"HOME": "/home/me"}, _ADDRESS) if one.client == client)


def test_files__where_clients_look() -> None:
    """By the variables that move them; one file for each client."""
    system = Path("/root-of-it")
    plain = {one.client: str(one.path) for one in client_files({"HOME": "/home/me"}, _ADDRESS, system)}
    moved = {"HOME": "/home/me", "XDG_CONFIG_HOME": "/cfg", "DOCKER_CONFIG": "/dock"}
    others = {one.client: str(one.path) for one in client_files(moved, _ADDRESS)}

    assert list(CLIENTS) == list(plain)
    assert "/home/me/.config/uv/uv.toml" == plain["uv"]
    assert "/root-of-it/etc/apt/apt.conf.d/01pullthrough" == plain["apt"]
    assert "/home/me/.docker/config.json" == plain["docker"]
    assert ("/cfg/uv/uv.toml", "/dock/config.json") == (others["uv"], others["docker"])
    if sys.platform != "darwin":
        assert ("/home/me/.config/pip/pip.conf", "/cfg/pip/pip.conf") == (plain["pip"], others["pip"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[global]\n",
        "[global]",
        "# mine\n[list]\nformat = columns\n",
        "[global]\ntimeout = 60\n  \n[install]\nno-compile = yes",
        "[list]\nformat=columns\n[global]\ntimeout=60\n",
        "[global]\r\ntimeout = 60\r\n",
    ],
)
def test_pip__gets_our_index_beside_what_is_there(text: str) -> None:
    """pip reads the index, and all that it read before."""
    changed = _file("pip").edit(text)

    before, after = configparser.RawConfigParser(), configparser.RawConfigParser()
    before.read_string(text)
    after.read_string(changed)
    assert _URL == after["global"]["index-url"]
    for section in before.sections():
        assert dict(before[section]).items() <= dict(after[section]).items()
    assert text.rstrip("\n") == without_block(changed).rstrip("\n")


def test_pip__twice_is_once() -> None:
    """A file that has it already stays."""
    once = _file("pip").edit("")

    assert once == _file("pip").edit(once)


def test_pip__trusts_another_host_with_its_port() -> None:
    """So pip's own cache fills over plain HTTP, too."""
    address = CacheAddress("http://10.0.0.7:3142", "http://10.0.0.7:3142")
    pip = next(one for one in client_files({"HOME": "/h"}, address) if one.client == "pip")

    assert "trusted-host = 10.0.0.7:3142\n" in pip.edit("")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[global]\nindex-url = https://me:secret@private.example/simple\n", r"index-url in \[global\]"),
        ("[global]\nindex_url = https://me:secret@private.example/simple\n", r"index-url in \[global\]"),
        ("[install]\nindex-url = https://me:secret@private.example/simple\n", r"index-url in \[install\]"),
        ("no section\n", "no file that pip can read"),
    ],
)
def test_pip__own_index_is_left_alone(text: str, reason: str) -> None:
    """It may be a private one; its address, which may have a password, is not repeated."""
    with pytest.raises(FileRefused, match=reason) as refused:
        _file("pip").edit(text)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "native-tls = true", '[[index]]\nurl = "https://other.example/simple"\n'])
def test_uv__gets_our_index_beside_what_is_there(text: str) -> None:
    """The default index is ours, other settings stay."""
    changed = _file("uv").edit(text)

    before, after = tomllib.loads(text), tomllib.loads(changed)
    assert {"url": _URL, "default": True} == after["index"][-1]
    assert before.get("index", []) == after["index"][:-1]
    assert before.get("native-tls") == after.get("native-tls")
    assert changed == _file("uv").edit(changed)
    assert text == without_block(changed).rstrip("\n") + ("\n" if text.endswith("\n") else "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('index-url = "https://private.example/simple"', "default index"),
        ('[pip]\nindex-url = "https://private.example/simple"', "default index"),
        ('[[index]]\nurl = "https://private.example/simple"\ndefault = true', "default index"),
        ('index = [{ url = "https://other.example/simple" }]', "in brackets"),
        ("= 1", "not TOML"),
    ],
)
def test_uv__own_index_is_left_alone(text: str, reason: str) -> None:
    """Two defaults would be one too many."""
    with pytest.raises(FileRefused, match=reason):
        _file("uv").edit(text)


def test_apt__is_a_file_of_its_own() -> None:
    """Somebody else's lines under this name stay."""
    lines = _file("apt").lines

    assert lines == _file("apt").edit("")
    assert lines == _file("apt").edit(lines)
    with pytest.raises(FileRefused, match="other lines"):
        _file("apt").edit('Acquire::http::Proxy "http://10.0.0.1:3128/";\n')


@pytest.mark.parametrize("text", ["", "{}", '{\n\t"auths": {"é": {}}, "proxies": {"tcp://x": {"httpProxy": "y"}}\n}'])
def test_docker__gets_a_proxy_beside_what_is_there(text: str) -> None:
    """For containers, which reach the host at another address."""
    changed = _file("docker").edit(text)

    after = json.loads(changed)
    assert {
        "httpProxy": "http://172.17.0.1:3142",
        "noProxy": "localhost,127.0.0.1,pullthrough",
    } == after["proxies"]["default"]
    assert json.loads(text or "{}").get("auths") == after.get("auths")
    assert changed == _file("docker").edit(changed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"proxies": {"default": {"httpProxy": "http://proxy.example:3128"}}}', "a proxy of its own"),
        ("[]", "docker can read"),
        ("{", "docker can read"),
        ('{"proxies": 1}', "docker can read"),
    ],
)
def test_docker__own_proxy_is_left_alone(text: str, reason: str) -> None:
    """Whoever has one needs it."""
    with pytest.raises(FileRefused, match=reason):
        _file("docker").edit(text)


def test_without_ours__of_files_that_were_changed_since() -> None:
    """Our lines go, theirs stay; of a file that is ours alone nothing can be told."""
    pip, uv, docker = _file("pip"), _file("uv"), _file("docker")
    theirs = '{\n\t"auths": {}\n}'

    assert "[global]\ntimeout = 60\n" == without_ours("pip", pip.edit("[global]\ntimeout = 60\n"), pip.lines)
    assert "a = 1\nb = 2\n" == without_ours("uv", uv.edit("a = 1\nb = 2\n"), uv.lines)
    assert theirs == without_ours("docker", docker.edit(theirs), docker.lines)
    assert without_ours("docker", "[", docker.lines) is None
    assert without_ours("apt", "x", _file("apt").lines) is None
    assert "theirs" == without_ours("pip", "theirs", pip.lines)
    assert "a = 1\n" == without_ours("uv", "a = 1\n", uv.lines)
    assert "= 1" == without_ours("uv", "= 1", uv.lines)


def _as_pip_writes(text: str) -> str:
    """The text as `pip config set` and `pip config unset` leave it: without comments."""
    parser, written = configparser.RawConfigParser(), io.StringIO()
    parser.read_string(text)
    parser.write(written)
    return written.getvalue()


@pytest.mark.parametrize(
    "theirs", ["", "[global]\ntimeout = 60\n", "[list]\nformat = columns\n[global]\nno_color: 1\n"]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.7"])
def test_without_ours__pip_has_written_the_file(theirs: str, host: str) -> None:
    """Our options are known by their values, and all others stay."""
    address = CacheAddress(f"http://{host}:3142", f"http://{host}:3142")
    pip = next(one for one in client_files({"HOME": "/h"}, address) if one.client == "pip")

    without = without_ours("pip", _as_pip_writes(pip.edit(theirs)), pip.lines)

    assert without is not None
    assert "3142" not in without
    assert _as_pip_writes(theirs or "[global]\n") == _as_pip_writes(without)


@pytest.mark.parametrize(
    "theirs",
    [
        "[global]\nindex-url = https://private.example/simple\n",
        "[global]\nindex-url = https://private.example/simple\n# index-url = http://127.0.0.1:3142/pypi/simple/\n",
        "[global]\nindex-url = http://127.0.0.1:3142/pypi/simple/\n  https://second.example/simple\n",
        "[install]\nindex-url = http://127.0.0.1:3142/pypi/simple/\n",
    ],
)
def test_without_ours__other_values_are_theirs(theirs: str) -> None:
    """Somebody has put them there since."""
    assert theirs == without_ours("pip", theirs, _file("pip").lines)


@pytest.mark.parametrize(
    ("client", "text"),
    [
        ("pip", "[DEFAULT]\nindex-url = http://127.0.0.1:3142/pypi/simple/\n[global]\n"),
        ("pip", "theirs\n[global]\nindex-url = http://127.0.0.1:3142/pypi/simple/\n"),
        ("uv", '[[index]]\ndefault = true\nurl = "http://127.0.0.1:3142/pypi/simple/"\n'),
        ("uv", '= 1\n[[index]]\nurl = "http://127.0.0.1:3142/pypi/simple/"\n'),
    ],
)
def test_without_ours__is_there_and_cannot_be_taken_out(client: str, text: str) -> None:
    """It is no text without ours."""
    with pytest.raises(FileRefused):
        without_ours(client, text, _file(client).lines)


def test_block__at_the_end_of_a_line_without_end() -> None:
    """The marked lines never touch those of others."""
    assert "A=1\nB=2\n" == without_block(with_block("A=1\nB=2", "C=3\n"))
