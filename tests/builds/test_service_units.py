"""Units of systemd and agents of launchd."""

from __future__ import annotations

import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.builds.service_units import ServiceUnit, UnitTrouble, unit
from proxy.config.naming import variables
from proxy.config.settings import Settings
from tests.fake_systemctl import FakeSystemctl

_USER, _ROOT = 1000, 0
_PROJECT = Path(__file__).parents[2]


@pytest.fixture
def booted(tmp_path: Path) -> Path:
    """The root of a file system where systemd runs."""
    (tmp_path / "root/run/systemd/system").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def systemctl(tmp_path: Path, booted: Path) -> FakeSystemctl:
    """A systemctl for the units of user 1000."""
    return FakeSystemctl.make(tmp_path / "bin", tmp_path / "home/.config/systemd/user")


def _unit(booted: Path, user: int, *arguments: str, **variables: str) -> ServiceUnit:
    folder = booted.parent
    environ = {"PATH": f"{folder}/bin", "HOME": f"{folder}/home", **variables}
    return unit(environ, arguments, Path("/da ta"), booted, user)


def test_systemd__of_a_user(systemctl: FakeSystemctl, booted: Path) -> None:
    """The user's own unit; words are quoted as systemd reads them; credentials of the environment come along."""
    made = _unit(booted, _USER, "--data=/a b/50%$x", PULLTHROUGH_PYPI_TOKEN='t"$', PULLTHROUGH_PORT="1", LANG="C")

    assert booted.parent / "home/.config/systemd/user/pullthrough.service" == made.path
    lines = made.text.splitlines()
    assert f'ExecStart="{sys.executable}" "-P" "-m" "proxy" "serve" "--data=/a b/50%%$$x"' in lines
    assert r'Environment="PULLTHROUGH_PYPI_TOKEN=t\"$"' in lines
    assert "WantedBy=default.target" in lines
    assert "PULLTHROUGH_PORT" not in made.text
    assert "LANG" not in made.text

    made.path.parent.mkdir(parents=True)
    made.path.write_text('[Service]\nExecStart="/bin/sh" "-c" "trap : TERM"\n')
    made.begin()
    made.end()
    assert [
        ["--user", "daemon-reload"],
        ["--user", "enable", "pullthrough.service"],
        ["--user", "restart", "pullthrough.service"],
        ["--user", "disable", "--now", "pullthrough.service"],
    ] == systemctl.calls()


@pytest.mark.parametrize("name", ["proxy", "queue", "random"])
def test_systemd__home_folder_with_modules(systemctl: FakeSystemctl, booted: Path, tmp_path: Path, name: str) -> None:
    """systemd starts a user's unit in the home folder: what is called like a module there is none of ours."""
    (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    lines = _unit(booted, _USER, "--help").text.splitlines()
    command = shlex.split(next(line for line in lines if line.startswith("ExecStart=")).removeprefix("ExecStart="))

    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(_PROJECT)}, capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy", "no_proxy", "NO_PROXY"])
def test_systemd__proxy_on_the_way_out(systemctl: FakeSystemctl, booted: Path, name: str) -> None:
    """In the form in which the person has it: curl knows http_proxy in lower case alone."""
    made = _unit(booted, _USER, **{name: "proxy.example"})

    assert f'Environment="{name}=proxy.example"' in made.text.splitlines()


def test_systemd__credentials_of_the_settings(systemctl: FakeSystemctl, booted: Path) -> None:
    """Without them the cache refuses to start; what no setting names stays out."""
    environ = {"PATH": f"{booted.parent}/bin", "CORP_INDEX": "me:secret", "OTHER": "x", "NETRC": "/me/netrc"}

    made = unit(environ, [], Path("/data"), booted, _USER, variables=["CORP_INDEX", "GONE"])
    lines = made.text.splitlines()

    assert ['Environment="CORP_INDEX=me:secret"', 'Environment="NETRC=/me/netrc"'] == [
        line for line in lines if line.startswith("Environment=")
    ]
    assert made.text.replace("me:secret", "***") == made.shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("HTTPS_PROXY", "http://me:s/e@c@proxy.example:3128", "http://***@proxy.example:3128"),
        ("http_proxy", "me:secret@proxy.example:3128", "***@proxy.example:3128"),
        ("https_proxy", "http://proxy.example:3128", "http://proxy.example:3128"),
        ("PULLTHROUGH_PROXY", "http://me:secret@proxy.example:3128", "http://***@proxy.example:3128"),
        ("PULLTHROUGH_UPSTREAMS", '[{"proxy": "http://me:secret@p.example"}]', '[{"proxy": "http://***@p.example"}]'),
        ("PULLTHROUGH_DISK", "1TB", "1TB"),
        ("PULLTHROUGH_PYPI_TOKEN", "secret", "***"),
        ("HOME", "/home/me@corp.example", "/home/me@corp.example"),
    ],
)
def test_shown__without_credentials(systemctl: FakeSystemctl, booted: Path, name: str, value: str, shown: str) -> None:
    """What a person sees has no user, password or token; the unit itself has them."""
    made = unit({"PATH": f"{booted.parent}/bin", name: value}, [], Path("/data"), booted, _USER)

    def line(value: str) -> str:
        return 'Environment="' + f"{name}={value}".replace('"', '\\"') + '"'

    assert line(value) in made.text.splitlines()
    assert line(shown) in made.shown.splitlines()


def test_systemd__of_root(systemctl: FakeSystemctl, booted: Path) -> None:
    """The machine's unit, which may write its folder alone."""
    made = _unit(booted, _ROOT)

    assert booted / "etc/systemd/system/pullthrough.service" == made.path
    assert 'ReadWritePaths="/da ta"' in made.text
    assert "After=network-online.target docker.service" in made.text
    assert "--user" not in made.start[0]


@pytest.mark.parametrize("user", [_USER, _ROOT])
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd__reads_it(systemctl: FakeSystemctl, booted: Path, tmp_path: Path, user: int) -> None:
    """systemd's own check finds nothing wrong."""
    made = _unit(booted, user, "--data=/a b/50%$x", "--host=::1", PULLTHROUGH_X='a "b" $c')
    path = tmp_path / "pullthrough.service"
    path.write_text(made.text, encoding="utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )

    said = [line for line in (done.stdout + done.stderr).splitlines() if "pullthrough.service" in line]
    assert [] == said


def test_systemd__refuses(systemctl: FakeSystemctl, booted: Path) -> None:
    """What the system says is told; stopping what does not run is no failure."""
    made = _unit(booted, _USER)
    systemctl.refuse()

    with pytest.raises(UnitTrouble, match="daemon-reload` failed: Failed to connect to bus"):
        made.begin()
    made.end()


def test_unit__nothing_starts_processes(tmp_path: Path) -> None:
    """A container has systemctl and no systemd: the line is the command to run."""
    FakeSystemctl.make(tmp_path / "bin", tmp_path)

    with pytest.raises(UnitTrouble, match=r"pullthrough serve --port=1$"):
        unit({"PATH": f"{tmp_path}/bin"}, ["--port=1"], tmp_path, tmp_path, _USER)


def test_launchd__log(tmp_path: Path) -> None:
    """launchd rotates nothing: the cache is told a bound, unless a person has one, and no file stays behind."""
    (tmp_path / "launchctl").symlink_to("/bin/true")
    logs = tmp_path / "Library/Logs"
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}

    plain = unit(environ, [], Path("/data"), user=501)
    own = unit(environ | {"PULLTHROUGH_SERVE_LOG_SIZE": "1 GB"}, [], Path("/data"), user=501)
    logs.mkdir(parents=True)
    for name in ("pullthrough.log", "pullthrough.log.1", "other.log"):
        (logs / name).touch()
    plain.ended()

    bounds = [plistlib.loads(one.text.encode())["EnvironmentVariables"] for one in (plain, own)]
    assert ["30 MB", "1 GB"] == [one["PULLTHROUGH_SERVE_LOG_SIZE"] for one in bounds]
    settings = Settings.model_validate({"data": tmp_path, "serve": {"log_size": "30 MB"}})
    assert 30_000_000 == settings.serve.log_size
    assert "PULLTHROUGH_SERVE_LOG_SIZE" in variables()
    assert f"tail -F {logs / 'pullthrough.log'}" == plain.log
    assert ["other.log"] == [path.name for path in logs.iterdir()]


@pytest.mark.parametrize(("user", "domain"), [(501, "gui/501"), (0, "system")])
def test_launchd__agent(tmp_path: Path, user: int, domain: str) -> None:
    """A property list that launchd reads; an agent of the same name is taken out first."""
    (tmp_path / "launchctl").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\n[ "$1" = bootstrap ] || exit 3\n')
    (tmp_path / "launchctl").chmod(0o755)
    environ = {"PATH": str(tmp_path), "HOME": "/Users/me", "HTTPS_PROXY": "http://proxy.example:3128"}

    made = unit(environ, ["--port=1"], Path("/data"), user=user)
    made.begin()
    made.end()

    read = plistlib.loads(made.text.encode())
    assert [sys.executable, "-P", "-m", "proxy", "serve", "--port=1"] == read["ProgramArguments"]
    bound = {"PULLTHROUGH_SERVE_LOG_SIZE": "30 MB"}
    assert bound | {"HOME": "/Users/me", "HTTPS_PROXY": "http://proxy.example:3128"} == read["EnvironmentVariables"]
    assert {"SuccessfulExit": False} == read["KeepAlive"]
    place = "/Library/LaunchDaemons" if user == 0 else "/Users/me/Library/LaunchAgents"
    assert f"{place}/pullthrough.plist" == str(made.path)
    assert [
        f"bootout {domain}/pullthrough",
        f"bootstrap {domain} {place}/pullthrough.plist",
        f"bootout {domain}/pullthrough",
    ] == (tmp_path / "calls").read_text().splitlines()
