"""What of a Dockerfile goes past the cache, and what would change that: one line for each matter.

Pure: of a Dockerfile that was read, and of the variables of its base image. Called by `build` and `doctor`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proxy.builds.dockerfile import Dockerfile, Instruction
from proxy.builds.secret_files import NAME, TARGETS

# Variables that come before the secret files, or switch them off.
OVERRIDING = {
    "PIP_INDEX_URL": "pip",
    "PIP_CONFIG_FILE": "pip",
    "PIP_NO_INDEX": "pip",
    "UV_DEFAULT_INDEX": "uv",
    "UV_INDEX_URL": "uv",
    "UV_CONFIG_FILE": "uv",
    "UV_NO_CONFIG": "uv",
    "UV_OFFLINE": "uv",
}
# Variables that add something which the cache does not have by itself.
ADDING = {
    "PIP_EXTRA_INDEX_URL": "pip asks that index, too, and not through the cache",
    "UV_EXTRA_INDEX_URL": "uv asks that index, too, and not through the cache",
    "UV_INDEX": "uv asks that index, too, and first",
    "PIP_CONSTRAINT": "pip installs only what that file of the image allows",
    "UV_CONSTRAINT": "uv installs only what that file of the image allows",
    "PIP_NO_CACHE_DIR": "pip fills no cache mount",
    "UV_NO_CACHE": "uv fills no cache mount",
}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

# Within one command of a shell.
_REST = r"[^&|;\n]*"
_PIP = re.compile(rf"(?<!uv )\bpip3?(?:\.\d+)?\s{_REST}\b(?:install|download|wheel)\b")
_NO_INDEX = re.compile(r"\s--no-index\b")
_UV = re.compile(rf"\buv\s{_REST}\b(?:install|sync|compile|add|lock|run|build)\b|\buvx\b")
_APT = re.compile(rf"\bapt(?:-get)?\s{_REST}\b(?:install|update|upgrade|dist-upgrade|full-upgrade)\b")
_LOCKED = re.compile(rf"\buv\s+sync\b{_REST}\s--(?:frozen|locked)\b")
_NAMED_INDEX = re.compile(rf"\b(?:pip|uv)\S*\s{_REST}\s(--index-url|--default-index|-i)[\s=]")
_FURTHER_INDEX = re.compile(
    rf"\b(?:pip|uv)\S*\s{_REST}\s(--extra-index-url|--index|--find-links|-f)[\s=]+[\"']?https?://(?!{NAME}[:/])"
)
_SET_INDEX = re.compile(
    r"\b(PIP_INDEX_URL|UV_DEFAULT_INDEX|UV_INDEX_URL)=(?![\"']{2})[^\s;&|]|\b(pip\S*\s+config\s+set\s+(?!\S*extra)\S*index-url)\s"
)
_OTHERS = re.compile(
    r"\b(poetry\s+install|pdm\s+(?:install|sync)|pipenv\s+(?:install|sync)|(?:conda|mamba)\s+(?:install|env)|"
    r"npm\s+(?:ci|install)|yarn\s+install|apk\s+add|(?:dnf|yum)\s+install)\b"
)
_PLAIN_HTTP = re.compile(rf"\b(?:curl|wget)\s{_REST}\bhttp://")


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that goes past the cache. `line`: of the Dockerfile; 0: of the base image."""

    line: int
    text: str
    remedy: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.text}. {self.remedy}"


def past_the_cache(file: Dockerfile) -> list[Advice]:
    """What of the file's RUNs goes past the cache although the secrets are there."""
    return [advice for stage in file.stages for run in stage.of("RUN") for advice in _of_run(run)] + list(_of_env(file))


def wants_http_proxy(file: Dockerfile) -> bool:
    """Whether apt runs without the secret: then it can reach the cache by the predefined argument `http_proxy`."""
    return any(_APT.search(run.shell) and "apt" not in _mounted(run) for run in file.runs)


def fetches_plain_http(file: Dockerfile) -> list[int]:
    """The lines of RUNs in which curl or wget fetch over plain HTTP: with `http_proxy` they would ask the cache."""
    return [run.line for run in file.runs if _PLAIN_HTTP.search(run.shell)]


def declares_http_proxy(file: Dockerfile) -> bool:
    """Whether an ARG has that name: then its value is a part of the layers' keys."""
    return any(
        name.lower() == "http_proxy" for stage in file.stages for one in stage.of("ARG") for name in one.assigned
    )


def of_image(variables: Mapping[str, str], base: str) -> list[Advice]:
    """What variables of a base image do to the secrets."""
    return [Advice(0, f"{base} sets {name}: {what}", remedy) for name, what, remedy in _of_variables(variables)]


def _of_env(file: Dockerfile) -> Iterator[Advice]:
    """Of ENV, and of ARG: its value is a variable of the RUNs that follow, too, unless an ENV has the name."""
    for stage in file.stages:
        by_env = {name for one in stage.of("ENV") for name in one.assigned}
        for one in stage.of("ENV"):
            for name, what, remedy in _of_variables(one.assigned):
                yield Advice(one.line, f"ENV {name}: {what}", remedy)
        for one in stage.of("ARG"):
            values = {name: _given(file, name, value) for name, value in one.assigned.items() if name not in by_env}
            for name, what, remedy in _of_variables(values):
                yield Advice(one.line, f"ARG {name}: {what}", remedy)


def _given(file: Dockerfile, name: str, default: str) -> str:
    """The value of an ARG. A proxy that the person gives is looked after by `build_options.proxy_arguments`."""
    if name in file.given:
        return "" if name in PROXIES else file.given[name]
    return default or file.arguments.get(name, "")


def _of_variables(variables: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, value in variables.items():
        if name in OVERRIDING and value:
            tool = OVERRIDING[name]
            yield (
                name,
                f"it overrides the secret file of {tool}, so {tool} goes past the cache",
                f"Unset it: ENV {name}=",
            )
        elif name in ADDING and value:
            yield name, ADDING[name], f"Unset it where that is not wanted: ENV {name}="
        elif name in PROXIES and value:
            yield name, "what goes through that proxy does not reach the cache", "Add pullthrough to no_proxy there."


def _of_run(run: Instruction) -> Iterator[Advice]:
    mounted = _mounted(run)
    for tool, pattern in (("pip", _PIP), ("uv", _UV)):
        if not pattern.search(run.shell) or _NO_INDEX.search(run.shell):
            continue
        if tool not in mounted:
            yield Advice(
                run.line,
                f"{tool} goes past the cache",
                f"Give this RUN --mount=type=secret,id={tool},target={TARGETS[tool]},mode=0444",
            )
        elif mounted[tool] != TARGETS[tool]:
            yield Advice(run.line, f"{tool} does not read its secret there", f"Mount it with target={TARGETS[tool]}")
    yield from _of_indexes(run)
    if "apt" in mounted and mounted["apt"] != TARGETS["apt"]:
        yield Advice(run.line, "apt does not read its secret there", f"Mount it with target={TARGETS['apt']}")
    if _LOCKED.search(run.shell):
        yield Advice(
            run.line,
            "uv sync fetches from the addresses in uv.lock, past every index",
            "Use: uv export --frozen --no-emit-project -o r.txt && uv pip sync --require-hashes r.txt",
        )
    if found := _OTHERS.search(run.shell):
        yield Advice(run.line, f"{found[1]} goes past the cache", "See docs/clients.md for what it can be told")


def _of_indexes(run: Instruction) -> Iterator[Advice]:
    """Of indexes that a RUN of pip or uv names itself."""
    if not (_PIP.search(run.shell) or _UV.search(run.shell)) or _NO_INDEX.search(run.shell):
        return
    if found := _NAMED_INDEX.search(run.shell):
        yield Advice(run.line, f"{found[1]} overrides the secret file", "Leave it out, or name the cache's address")
    if found := _SET_INDEX.search(run.shell):
        yield Advice(run.line, f"{found[1] or found[2]} overrides the secret file", "Leave it out")
    if found := _FURTHER_INDEX.search(run.shell):
        asked = "names an index that is asked, too, and not through the cache"
        yield Advice(run.line, f"{found[1]} {asked}", "A group of the cache has both: docs/docker.md")


def _mounted(run: Instruction) -> dict[str, str]:
    """The secrets of a RUN: where each is mounted, by id."""
    found = {}
    for mount in run.mounts:
        if mount.get("type") == "secret":
            target = mount.get("target") or mount.get("dst") or mount.get("destination")
            name = mount.get("id") or (target or "").rpartition("/")[2]
            found[name] = target or f"/run/secrets/{name}"
    return found
