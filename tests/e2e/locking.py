"""The clients that write lock files, each way of theirs: how it is pointed at a cache, what it keeps, how it installs.

Used by the end-to-end tests, which run them, and by the test that holds docs/clients.md against this table.
"""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pypi_simple import PYPI_SIMPLE_ENDPOINT

from tests.e2e.clients import run

WANTED = ("python-dateutil==2.9.0.post0", "six==1.17.0")  # small, of Python alone, and never changed
_PROJECT = f"""\
[project]
name = "demo"
version = "1"
requires-python = ">={sys.version_info.major}.{sys.version_info.minor}"
dependencies = {json.dumps(WANTED)}
"""


_TOOLS = {
    "uv": ("uv", "pip"),
    "poetry": ("poetry", "poetry-plugin-pypi-mirror"),
    "pdm": ("pdm[locked]",),  # with the releases of its libraries that it was tested with: it takes any that is newer
    "pipenv": ("pipenv",),
    "pip-tools": ("pip-tools",),
    "pex": ("pex",),
}


_CACHES = ("UV_CACHE_DIR", "POETRY_CACHE_DIR", "PDM_CACHE_DIR", "PIPENV_CACHE_DIR", "PIP_TOOLS_CACHE_DIR", "PEX_ROOT")
# No second tries where a cache is gone, no caches outside of the project, no questions.
_QUIET = {
    "PIP_NO_CACHE_DIR": "1",
    "PIP_RETRIES": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "UV_HTTP_RETRIES": "0",
    "PDM_CHECK_UPDATE": "false",
    "POETRY_VIRTUALENVS_IN_PROJECT": "true",
    "PIPENV_VENV_IN_PROJECT": "1",
    "PIPENV_IGNORE_VIRTUALENVS": "1",
    "PIPENV_NOSPIN": "1",
}


class Keeps(enum.Enum):
    """What a lock file keeps of the cache through which it was made, in the words of docs/clients.md."""

    NOTHING = "nothing"
    INDEX = "the index's address"
    FILES = "the files' addresses"


@dataclass(frozen=True, slots=True)
class Tools:
    """The newest of each client that PyPI has, in a folder of its own below `folder`."""

    folder: Path
    home: Path

    @classmethod
    def install(cls, folder: Path, home: Path, uv: str) -> Self:
        """Install them, with uv, which does so in seconds."""
        for tool, packages in _TOOLS.items():
            own = folder / tool
            run([uv, "venv", "--quiet", "--python", sys.executable, str(own)], home)
            options = ("--quiet", "--no-config", "--default-index", PYPI_SIMPLE_ENDPOINT)
            run([uv, "pip", "install", *options, "--python", str(own / "bin" / "python"), *packages], home)
        return cls(folder, home)

    def program(self, tool: str, name: str) -> str:
        """The path of a program of one of them."""
        return str(self.folder / tool / "bin" / name)


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with something to lock, and what a run of a client needs of the world: an index, if it is not PyPI's.

    `before`: what each command begins with, as that of a room.
    """

    folder: Path
    tools: Tools
    index: str | None = None
    trusted: str = ""  # the index's host, if it is to be named as trusted
    variables: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()

    def run(self, tool: str, name: str, *arguments: str) -> str:
        """Run a client here, without anything that another run left but the project's own files."""
        kept = str(self.folder / "kept")
        environment = {**_QUIET, **dict.fromkeys(_CACHES, kept), "PDM_LOG_DIR": kept, **self.variables}
        command = [*self.before, self.tools.program(tool, name), *arguments]
        return run(command, self.tools.home, environment, self.folder)

    def write(self, name: str, text: str) -> str:
        """Write a file of the project; gives its path."""
        (self.folder / name).write_text(text, "utf-8")
        return str(self.folder / name)

    @property
    def python(self) -> str:
        """The interpreter into whose folder is installed, made if it is not there. Never that of the machine."""
        python = self.folder / ".venv" / "bin" / "python"
        if not python.exists():
            uv = self.tools.program("uv", "uv")
            run([uv, "venv", "--quiet", "--python", sys.executable, str(self.folder / ".venv")], self.tools.home)
        return str(python)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to lock with a client. `variables`: by name, the text that points it at an index, `{index}` in it.

    `trusting`: the same for an index with plain HTTP on another machine, `{host}` in it; empty: it needs none.
    `follows`: whether an install from a lock that PyPI made goes to the index that is set now.
    """

    client: str
    lock: str  # the file, as the project calls it
    keeps: Keeps
    make: Callable[[Project], None]
    install: Callable[[Project], None]
    variables: Mapping[str, str]
    trusting: Mapping[str, str] = field(default_factory=dict)
    follows: bool = True

    def at(self, folder: Path, tools: Tools, index: str | None, *, trusted: str = "") -> Project:
        """A project that is pointed at `index`, or at nothing: at PyPI."""
        texts = {**self.variables, **(self.trusting if trusted else {})} if index else {}
        given = {name: text.format(index=index, host=trusted) for name, text in texts.items()}
        return Project(folder, tools, index, trusted, given)


def _pip_requirements(project: Project) -> None:
    python = project.python
    project.run("uv", "pip", "--python", python, "install", "--quiet", *WANTED)
    project.write("requirements.txt", project.run("uv", "pip", "--python", python, "freeze"))


def _pip_install(project: Project) -> None:
    project.run("uv", "pip", "--python", project.python, "install", "--quiet", "--requirement", "requirements.txt")


def _pip_lock(project: Project) -> None:
    project.run("uv", "pip", "lock", "--quiet", *WANTED, "--output", "pylock.toml")


def _pip_install_lock(project: Project) -> None:
    project.run("uv", "pip", "--python", project.python, "install", "--quiet", "--requirement", "pylock.toml")


def _uv_lock(project: Project) -> None:
    project.write("pyproject.toml", _PROJECT)
    project.run("uv", "uv", "lock", "--quiet", "--python", sys.executable)


def _uv_sync(project: Project) -> None:
    project.run("uv", "uv", "sync", "--quiet", "--frozen", "--python", project.python)


def _uv_export(project: Project) -> None:
    _uv_lock(project)
    project.run("uv", "uv", "export", "--quiet", "--frozen", "--no-emit-project", "--output-file", "requirements.txt")


def _uv_install(project: Project) -> None:
    project.run(
        "uv", "uv", "pip", "install", "--quiet", "--python", project.python, "--requirement", "requirements.txt"
    )


def _poetry_lock(project: Project) -> None:
    project.write("pyproject.toml", _PROJECT)
    project.run("poetry", "poetry", "lock", "--no-interaction")


def _poetry_lock_source(project: Project) -> None:
    source = f'\n[[tool.poetry.source]]\nname = "cache"\nurl = "{project.index}"\npriority = "primary"\n'
    project.write("pyproject.toml", _PROJECT + source)
    project.run("poetry", "poetry", "lock", "--no-interaction")


def _poetry_sync(project: Project) -> None:
    project.run("poetry", "poetry", "sync", "--no-interaction", "--no-root")


def _pdm_lock(project: Project, *options: str) -> None:
    project.write("pyproject.toml", f"{_PROJECT}\n[tool.pdm]\ndistribution = false\n")
    project.run("pdm", "pdm", "use", "--first", project.python)
    project.run("pdm", "pdm", "lock", *options)


def _pdm_lock_static(project: Project) -> None:
    _pdm_lock(project, "--strategy", "static_urls")


def _pdm_sync(project: Project) -> None:
    project.run("pdm", "pdm", "use", "--first", project.python)
    project.run("pdm", "pdm", "sync")


def _pipfile(url: str, *, verify: bool) -> str:
    packages = "".join(f'{name} = "=={version}"\n' for name, _, version in (want.partition("==") for want in WANTED))
    front = f'[[source]]\nname = "pypi"\nurl = "{url}"\nverify_ssl = {str(verify).lower()}\n'
    return f"{front}\n[packages]\n{packages}"


def _pipenv(project: Project, verb: str) -> None:
    assert project.python  # it takes the environment that it finds
    project.run("pipenv", "pipenv", verb)


def _pipenv_lock(project: Project) -> None:
    project.write("Pipfile", _pipfile(PYPI_SIMPLE_ENDPOINT.rstrip("/"), verify=True))
    _pipenv(project, "lock")


def _pipenv_lock_source(project: Project) -> None:
    assert project.index is not None
    project.write("Pipfile", _pipfile(project.index, verify=False))
    _pipenv(project, "lock")


def _pipenv_sync(project: Project) -> None:
    _pipenv(project, "sync")


def _compile(project: Project, *options: str) -> None:
    project.write("requirements.in", "".join(f"{want}\n" for want in WANTED))
    project.run("pip-tools", "pip-compile", "--quiet", "--strip-extras", "--generate-hashes", *options)


def _compile_silent(project: Project) -> None:
    project.write("pyproject.toml", "[tool.pip-tools.compile]\nemit-index-url = false\nemit-trusted-host = false\n")
    _compile(project)


def _pip_sync(project: Project) -> None:
    python = project.python
    run([python, "-m", "ensurepip"], project.tools.home)  # it installs with the pip that is there
    project.run("pip-tools", "pip-sync", "--quiet", "--python-executable", python, "requirements.txt")


def _pex_index(project: Project) -> list[str]:
    return ["--no-pypi", "--index", project.index] if project.index else []


def _pex_lock(project: Project) -> None:
    options = ("--python", sys.executable, "--indent", "1", "--output", "lock.json")
    project.run("pex", "pex3", "lock", "create", *_pex_index(project), *options, *WANTED)


def _pex_build(project: Project) -> None:
    options = ("--python", sys.executable, "--retries", "0", "--lock", "lock.json")
    project.run("pex", "pex", *_pex_index(project), *options, "--output-file", "demo.pex")
    _try(project)


def _pex_export(project: Project) -> None:
    _pex_lock(project)
    project.run("pex", "pex3", "lock", "export", "lock.json", "--output", "requirements.txt")


def _pex_build_exported(project: Project) -> None:
    options = ("--python", sys.executable, "--retries", "0", "--requirement", "requirements.txt")
    project.run("pex", "pex", *_pex_index(project), *options, "--output-file", "demo.pex")
    _try(project)


def _try(project: Project) -> None:
    run([str(project.folder / "demo.pex"), "-c", "import dateutil.tz"], project.tools.home)


_PIP = {"PIP_INDEX_URL": "{index}"}
_TRUST = {"PIP_TRUSTED_HOST": "{host}"}
_POETRY = {"POETRY_PYPI_MIRROR_URL": "{index}"}
_PDM, _PDM_TRUST = {"PDM_PYPI_URL": "{index}"}, {"PDM_PYPI_VERIFY_SSL": "false"}
_PIPENV = {"PIPENV_PYPI_MIRROR": "{index}"}
_UV = {"UV_DEFAULT_INDEX": "{index}"}

WAYS = (
    Way("pip", "requirements.txt", Keeps.NOTHING, _pip_requirements, _pip_install, _PIP, _TRUST),
    Way("pip lock", "pylock.toml", Keeps.FILES, _pip_lock, _pip_install_lock, _PIP, _TRUST, follows=False),
    Way("uv", "uv.lock", Keeps.FILES, _uv_lock, _uv_sync, _UV, follows=False),
    Way("uv export", "requirements.txt", Keeps.NOTHING, _uv_export, _uv_install, _UV),
    Way("poetry, mirror", "poetry.lock", Keeps.NOTHING, _poetry_lock, _poetry_sync, _POETRY),
    Way("poetry, source", "poetry.lock", Keeps.INDEX, _poetry_lock_source, _poetry_sync, {}),
    Way("pdm", "pdm.lock", Keeps.NOTHING, _pdm_lock, _pdm_sync, _PDM, _PDM_TRUST),
    Way("pdm, static_urls", "pdm.lock", Keeps.FILES, _pdm_lock_static, _pdm_sync, _PDM, _PDM_TRUST, follows=False),
    Way("pipenv, mirror", "Pipfile.lock", Keeps.NOTHING, _pipenv_lock, _pipenv_sync, _PIPENV, _TRUST),
    Way("pipenv, source", "Pipfile.lock", Keeps.INDEX, _pipenv_lock_source, _pipenv_sync, {}),
    Way("pip-tools", "requirements.txt", Keeps.INDEX, _compile, _pip_sync, _PIP, _TRUST),
    Way(
        "pip-tools, emit-index-url = false", "requirements.txt", Keeps.NOTHING, _compile_silent, _pip_sync, _PIP, _TRUST
    ),
    Way("pex", "lock.json", Keeps.FILES, _pex_lock, _pex_build, {}, follows=False),
    Way("pex3 lock export", "requirements.txt", Keeps.NOTHING, _pex_export, _pex_build_exported, {}),
)
