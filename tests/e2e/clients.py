"""The real clients, and the program as people start it: processes of their own, with nothing of the caller's settings.

Used by the end-to-end tests only. Tools are installed from PyPI, directly, into folders of the test run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self

from pypi_simple import PYPI_SIMPLE_ENDPOINT

from tests import scrape

# What a process needs of its surroundings: programs, certificates, and a way to the internet.
_KEPT = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy")
_ADDRESS = re.compile(r"(?<=serves at )http://[^\s/]+:\d+")
_TOOL_LIMIT = 300.0  # seconds that one run of a client may take
_START_LIMIT = 120.0
_STOP_LIMIT = 60.0
# The oldest pip that is supported, and where it does not run on the interpreter, the oldest that does.
_OLDEST_PIP = {(3, 11): "23.1", (3, 12): "23.2", (3, 13): "24.1"}


class Failed(AssertionError):
    """A client ended with an error; the message holds all that it said."""


class Client(Protocol):
    """What the tests ask of an installer. `index` is the address of a Simple API, or of a `flat` page of links."""

    def install(self, index: str, folder: Path, *what: str, flat: bool = False) -> None:
        """Install requirements into `folder`, with everything that they need."""
        ...

    def resolve(self, index: str, folder: Path, *what: str) -> list[str]:
        """Say what would be installed, as `name==version`, sorted. `folder` is for files of its own."""
        ...

    def knowing(self, **environment: str) -> Self:
        """The same client with further variables in its environment."""
        ...


@dataclass(frozen=True, slots=True)
class Pip:
    """pip in a virtual environment of its own."""

    python: Path
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def knowing(self, **environment: str) -> Self:
        return replace(self, environment={**self.environment, **environment})

    def install(self, index: str, folder: Path, *what: str, flat: bool = False) -> None:
        # Not compiled: what compiling leaves holds times, and the trees of two runs are compared.
        self._run("install", index, "--no-compile", "--target", str(folder), *what, flat=flat)

    def resolve(self, index: str, folder: Path, *what: str) -> list[str]:
        folder.mkdir()
        report = folder / "report.json"
        target = ("--ignore-installed", "--dry-run", "--report", str(report))
        self._run("install", index, *target, *what)
        items = [item["metadata"] for item in json.loads(report.read_text("utf-8"))["install"]]
        return sorted(f"{item['name']}=={item['version']}" for item in items)

    def download(self, index: str, folder: Path, *what: str) -> list[Path]:
        """Download files as the index has them; gives their paths, sorted."""
        self._run("download", index, "--dest", str(folder), *what)
        return sorted(folder.iterdir())

    def _run(self, verb: str, index: str, *rest: str, flat: bool = False) -> None:
        source = ("--no-index", "--find-links") if flat else ("--index-url",)
        options = ("--no-cache-dir", "--disable-pip-version-check", "--no-input", *source, index)
        run([str(self.python), "-m", "pip", verb, *options, *rest], self.home, self.environment)


@dataclass(frozen=True, slots=True)
class Uv:
    """uv, for the interpreter that runs the tests."""

    program: Path
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def knowing(self, **environment: str) -> Self:
        return replace(self, environment={**self.environment, **environment})

    def install(self, index: str, folder: Path, *what: str, flat: bool = False) -> None:
        self._run("install", index, "--target", str(folder), *what, flat=flat)

    def resolve(self, index: str, folder: Path, *what: str) -> list[str]:
        folder.mkdir()
        wanted = folder / "requirements.in"
        wanted.write_text("\n".join(what), "utf-8")
        return sorted(self.compile(index, wanted).splitlines())

    def compile(self, index: str, requirements: Path) -> str:
        """Resolve without installing; gives the pinned requirements."""
        return self._run("compile", index, "--quiet", "--no-header", "--no-annotate", str(requirements))

    def _run(self, verb: str, index: str, *rest: str, flat: bool = False) -> str:
        source = ("--no-index", "--find-links") if flat else ("--default-index",)
        options = ("--no-cache", "--no-config", "--python", sys.executable, *source, index)
        return run([str(self.program), "pip", verb, *options, *rest], self.home, self.environment)


class Server:
    """`pullthrough serve` on a free port of this machine, with a settings file or without."""

    def __init__(
        self,
        data: Path,
        home: Path,
        settings: Path | None,
        environment: Mapping[str, str],
        options: Sequence[str],
        module: str,
        before: Sequence[str] = (),
    ) -> None:
        chosen = [] if settings is None else ["--config", str(settings)]
        self.url = ""
        self._said: list[str] = []
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", module, "serve", "--port", "0", "--data", str(data), *chosen, *options],
            env={**clean_environment(home), **environment},
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, name="log of the server")
        self._listener.start()

    @property
    def index(self) -> str:
        """The address that stands for PyPI's Simple API."""
        return f"{self.url}/pypi/simple/"

    @property
    def log(self) -> str:
        return "".join(self._said)

    def wait_until_ready(self) -> None:
        """Return when the address was printed. Raises Failed with the log if that does not happen."""
        if not self._ready.wait(_START_LIMIT) or not self.url:
            raise Failed(f"the server did not say its address:\n{self.log}")

    def metric(self, name: str, **labels: str) -> float:
        """A figure of `/metrics`, summed over the labels that are not named."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/metrics", timeout=10) as answer:
            return scrape.value(answer.read().decode(), name, **labels)

    def stop(self) -> int:
        """End it as a service manager does, and give its exit status; it is killed if it does not end by itself."""
        self._process.terminate()
        try:
            return self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Failed(f"the server did not end:\n{self.log}") from None
        finally:
            self._process.wait()
            self._listener.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._said.append(line)
                if not self.url and (found := _ADDRESS.search(line)):
                    self.url = found.group()
                    self._ready.set()
        self._ready.set()


@contextlib.contextmanager
def serving(
    data: Path,
    home: Path,
    settings: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    options: Sequence[str] = (),
    module: str = "proxy",
    before: Sequence[str] = (),
) -> Iterator[Server]:
    """A server that keeps its files in `data`; it must end well, and without a traceback in its log.

    `module`: what is run in place of the program itself. `before`: what its command begins with, as that of a room.
    """
    server = Server(data, home, settings, environment, options, module, before)
    try:
        server.wait_until_ready()
        yield server
    finally:
        status = server.stop()
    assert (0, False) == (status, "Traceback" in server.log), server.log


def clean_environment(home: Path) -> dict[str, str]:
    """Nothing of PIP_*, UV_* or the program's own; a home of its own; loopback is never asked for through a proxy."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    own = {"HOME": str(home), "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1,127.0.0.0/8,localhost"}
    return kept | own | {"PYTHONDONTWRITEBYTECODE": "1"}


def run(
    command: Sequence[str],
    home: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    folder: Path | None = None,
) -> str:
    """Run a client in `folder`, else at home; gives what it printed.

    Raises Failed with all of its output if it ends with an error.
    """
    done = subprocess.run(
        command,
        env={**clean_environment(home), **environment},
        cwd=folder or home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TOOL_LIMIT,
        check=False,
    )
    if done.returncode:
        raise Failed(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def make_pip(folder: Path, home: Path, *, newest: bool) -> Pip:
    """A virtual environment in `folder` with the newest pip, or the oldest that is supported."""
    run([sys.executable, "-m", "venv", str(folder)], home)
    pip = Pip(folder / "bin" / "python", home)
    oldest = _OLDEST_PIP.get(sys.version_info[:2])
    wanted = f"pip=={oldest}" if oldest and not newest else "pip"
    if newest or oldest:  # on a newer interpreter the bundled one is the oldest that is known to run
        own = ("--no-cache-dir", "--quiet", "--upgrade", "--index-url", PYPI_SIMPLE_ENDPOINT)
        run([str(pip.python), "-m", "pip", "install", *own, wanted], home)
    return pip


def make_uv(folder: Path, home: Path, pip: Pip) -> Uv:
    """The newest uv, in `folder`."""
    pip.install(PYPI_SIMPLE_ENDPOINT, folder, "uv")
    return Uv(folder / "bin" / "uv", home)


def tree(folder: Path) -> dict[str, str]:
    """What is installed in a folder: SHA-256 of each file by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
