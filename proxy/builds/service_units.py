"""The cache as a process that the system starts: a unit of systemd, or an agent of launchd on macOS.

Which of them is there is seen by its command, not by the system's name. For root the unit is the machine's, else this
user's. Called by `setup`, which writes the file and takes it back.
"""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from proxy.builds import program
from proxy.config import naming
from proxy.config.settings import PREFIX
from proxy.errors import PullthroughError

NAME = "pullthrough"

_WAIT = 90  # seconds: stopping waits for answers under way
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")  # in both forms, as curl reads them
_PASSED_ON = (*_PROXIES, *map(str.upper, _PROXIES), "SSL_CERT_FILE", "NETRC", "HOME", "PYTHONPATH")
_MASK = "***"
_CONFIG = "--config="  # setup writes this file after it knows who starts the cache
_IN_ARGUMENTS = ("HOST", "PORT", "DATA", "CONFIG")
# launchd rotates nothing, so the cache itself keeps its log within this, unless a person's own variable says otherwise.
_LOG_SIZE = {f"{PREFIX}SERVE_LOG_SIZE": "30 MB"}


class UnitTrouble(PullthroughError):
    """The system does not start or stop the cache. The text says what to do."""


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """A unit: its file, the text of it, and the commands that begin and end it.

    `folders`: those in which the system itself puts something; `left`: files that it leaves.
    """

    system: str  # "systemd" or "launchd"
    path: Path
    text: str
    reload: tuple[tuple[str, ...], ...]
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]
    log: str  # the command that shows what the cache says
    environ: Mapping[str, str] = field(repr=False)
    folders: tuple[Path, ...] = ()
    left: tuple[Path, ...] = ()
    shown: str = ""  # the text for a person's eyes, without credentials
    tries: int = 1  # launchd refuses a new agent while the old one of this name still ends

    def begin(self) -> None:
        """Have the system read the file, and start the cache anew. Raises UnitTrouble."""
        for command in (*self.reload, *self.start):
            for number in range(1, self.tries + 1):
                try:
                    self._run(command)
                    break
                except UnitTrouble:
                    if number == self.tries:
                        raise
                    time.sleep(1)

    def end(self) -> None:
        """Stop the cache, also one that does not run. Raises UnitTrouble."""
        for command in self.stop:
            self._run(command)

    def ended(self) -> None:
        """The file is gone: have the system forget it."""
        for command in self.reload:
            self._run(command)
        for path in self.left:
            path.unlink(missing_ok=True)

    def _run(self, command: Sequence[str]) -> None:
        tolerated = command[0].startswith("-")
        words = [command[0].lstrip("-"), *command[1:]]
        try:
            done = program.asked(words, self.environ, _WAIT)
        except subprocess.TimeoutExpired:
            raise UnitTrouble(f"`{' '.join(words)}` does not end within {_WAIT} seconds.") from None
        except OSError as error:
            raise UnitTrouble(f"{words[0]} cannot be run: {error.strerror}.") from error
        if done.returncode and not tolerated:
            said = " ".join((done.stderr or done.stdout).split()) or f"status {done.returncode}"
            raise UnitTrouble(f"`{' '.join(words)}` failed: {said}")


def unit(  # noqa: PLR0913 - most have a default
    environ: Mapping[str, str],
    arguments: Sequence[str],
    data: Path,
    system: Path = Path("/"),
    user: int | None = None,
    *,
    variables: Sequence[str] = (),
) -> ServiceUnit:
    """The unit for this machine. `arguments`: of `pullthrough serve`; `system`: the root of the file system.

    `user`: the number of the user, None for the one who runs this; `variables`: names of those that the settings name.
    Raises UnitTrouble where nothing starts processes.
    """
    user = os.geteuid() if user is None else user
    path = environ.get("PATH")
    # -P: it starts in the home folder, where a `random.py` or `queue.py` would be taken for Python's own.
    command = [sys.executable, "-P", "-m", "proxy", "serve", *arguments]
    passed = {name: value for name, value in environ.items() if name in (*_PASSED_ON, *variables) and value}
    own = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value}
    passed |= {name: value for name, value in own.items() if name.removeprefix(PREFIX) not in _IN_ARGUMENTS}
    shown = {name: _shown(name, value, variables) for name, value in passed.items()}
    if launchctl := shutil.which("launchctl", path=path):
        made, seen = (_launchd(launchctl, environ, command, _LOG_SIZE | one, user) for one in (passed, shown))
        return replace(made, shown=seen.text)
    systemctl = shutil.which("systemctl", path=path)
    if systemctl and (system / "run/systemd/system").is_dir():  # sd_booted(3)
        place = (data, system, user)
        made, seen = (_systemd(systemctl, environ, command, one, place) for one in (passed, shown))
        return replace(made, shown=seen.text)
    there = [one for one in arguments if not one.startswith(_CONFIG) or Path(one.removeprefix(_CONFIG)).is_file()]
    raise UnitTrouble(
        "neither systemd nor launchd runs here, so nothing would start the cache again. Run it yourself: "
        f"{shlex.join(['pullthrough', 'serve', *there])}"
    )


def _shown(name: str, value: str, variables: Sequence[str]) -> str:
    """A variable's value for a person's eyes: without a credential, and without user and password of a proxy.

    A variable with our prefix that is no setting is taken for a credential, which settings may name some day.
    """
    own = name.startswith(PREFIX)
    if name in variables or (own and name not in naming.variables()):
        return _MASK
    before, at, after = value.rpartition("@")
    if not at or not (own or name.lower() in _PROXIES):
        return value
    scheme, slashes, _ = before.partition("//")
    return f"{scheme if slashes else ''}{slashes}{_MASK}@{after}"


def _systemd(
    systemctl: str,
    environ: Mapping[str, str],
    command: Sequence[str],
    passed: Mapping[str, str],
    place: tuple[Path, Path, int],
) -> ServiceUnit:
    data, system, user = place
    service, own = f"{NAME}.service", [] if user == 0 else ["--user"]
    config = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/") / ".config")
    folder = system / "etc/systemd/system" if user == 0 else config / "systemd/user"
    target = "multi-user.target" if user == 0 else "default.target"
    lines = [
        "[Unit]",
        "Description=pullthrough, a caching proxy for pip and apt",
        # The bridge of Docker, on which it listens, is there when Docker runs.
        *(["After=network-online.target docker.service", "Wants=network-online.target"] if user == 0 else []),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        f"ExecStart={' '.join(_systemd_word(word).replace('$', '$$') for word in command)}",
        *(f"Environment={_systemd_word(f'{name}={value}')}" for name, value in sorted(passed.items())),
        "Restart=on-failure",
        "RestartSec=5",
        "TimeoutStopSec=30",
        "NoNewPrivileges=yes",
    ]
    if user == 0:
        lines += [
            "ProtectSystem=strict",
            f"ReadWritePaths={_systemd_word(str(data))}",
            "PrivateTmp=yes",
            "ProtectKernelTunables=yes",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        ]
    lines += ["", "[Install]", f"WantedBy={target}", ""]
    call = (systemctl, *own)
    return ServiceUnit(
        system="systemd",
        path=folder / service,
        text="\n".join(lines),
        reload=((*call, "daemon-reload"),),
        start=((*call, "enable", service), (*call, "restart", service)),
        stop=(("-" + systemctl, *own, "disable", "--now", service),),
        log=f"journalctl {'--unit' if user == 0 else '--user-unit'} {NAME}",
        environ=environ,
        folders=(folder / f"{target}.wants",),
    )


def _systemd_word(text: str) -> str:
    """A word of a unit's line, quoted as systemd.syntax(7) reads it; `%` stands for itself."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _launchd(
    launchctl: str, environ: Mapping[str, str], command: Sequence[str], passed: Mapping[str, str], user: int
) -> ServiceUnit:
    home = Path(environ.get("HOME") or "/")
    domain = "system" if user == 0 else f"gui/{user}"
    path = (Path("/Library/LaunchDaemons") if user == 0 else home / "Library/LaunchAgents") / f"{NAME}.plist"
    log = Path("/Library/Logs" if user == 0 else home / "Library/Logs") / f"{NAME}.log"
    described = {
        "Label": NAME,
        "ProgramArguments": list(command),
        "EnvironmentVariables": dict(sorted(passed.items())),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": 30,
        "ProcessType": "Background",
        "SoftResourceLimits": {"NumberOfFiles": 10240},
        "StandardErrorPath": str(log),
    }
    leave = ("-" + launchctl, "bootout", f"{domain}/{NAME}")
    return ServiceUnit(
        system="launchd",
        path=path,
        text=plistlib.dumps(described, sort_keys=False).decode(),
        reload=(),
        start=(leave, (launchctl, "bootstrap", domain, str(path))),
        stop=(leave,),
        log=f"tail -F {log}",
        environ=environ,
        folders=(log.parent,),
        left=(log, log.with_name(f"{log.name}.1")),
        tries=15,
    )
