"""What a person gave to `pullthrough build`: the arguments of `docker build`, read as docker reads them.

Pure but for two looks at the disk: whether the context has a `Dockerfile.cached`, and what its folder is called. All
arguments reach docker as they are; what is missing gets a default. The predefined build arguments that name a proxy
follow: the cache for apt where it has no secret, and none before the cache. Docker knows these without an ARG: they are
no parts of layer keys, and stand in no image.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.builds import dockerfile_advice
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.secret_files import NAME
from proxy.errors import WrongUsage

CACHED_FILE = "Dockerfile.cached"

_STDIN = "-"
# The options that take no value; all others of `docker build`, and of `docker buildx build`, take one.
_SWITCHES = {
    *("check", "compress", "debug", "disable-content-trust", "force-rm", "help", "load"),
    *("no-cache", "pull", "push", "quiet", "rm", "squash", "stream"),
}
_SHORT = {"f": "file", "t": "tag", "o": "output", "c": "cpu-shares", "m": "memory", "q": "quiet", "D": "debug"}
_OWN_CACHE = ("no-cache", "cache-from", "cache-to", "output")
_URL = re.compile(r"^(https?://|git://|ssh://|git@|github\.com/)")
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]+")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # as Docker calls them, where it calls them otherwise
# What a RUN asks of itself, and the cache under its name in builds.
_NOT_BY_PROXY = ("localhost", "127.0.0.1", "::1", NAME)
_OF_APT = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options that matter here, and all arguments for docker. `context` is a folder; None: a URL or standard input.

    `file`: the Dockerfile as a path, None if it is none that can be read here.
    `own_cache`: whether the person says what BuildKit's cache is to do, or lets no image come out that could be one.
    """

    arguments: tuple[str, ...]
    context: Path | None
    file: Path | None
    tags: tuple[str, ...]
    builder: str | None = None
    platform: str | None = None
    quiet: bool = False
    build_args: tuple[tuple[str, str | None], ...] = ()
    secrets: frozenset[str] = frozenset()  # ids
    own_cache: bool = False

    def build_arg(self, *names: str) -> bool:
        """Whether one of these build arguments is given."""
        return any(name in names for name, _ in self.build_args)


def read(arguments: Sequence[str], cwd: Path) -> BuildOptions:
    """Read the arguments, and add the defaults: the file `Dockerfile.cached` where it is, the tag, the context.

    Raises WrongUsage.
    """
    options: dict[str, list[str]] = {}
    places: list[str] = []
    for name, value in _parsed(arguments):
        if name:
            options.setdefault(name, []).append(value)
        else:
            places.append(value)
    if len(places) > 1:
        raise WrongUsage(f"a build has one context, and not {len(places)}: {' '.join(places)}")
    given = places[0] if places else "."
    folder = None if given == _STDIN or _URL.match(given) else cwd / given
    if folder is not None and not folder.is_dir():
        raise WrongUsage(f"the context {given} is not a folder")
    extra: list[str] = []
    path: Path | None = None
    if "file" in options:
        file = options["file"][-1]
        path = None if file == _STDIN or _URL.match(file) else cwd / file
        if folder is None and not Path(file).is_absolute():
            path = None  # of a context that is elsewhere, docker looks for it there
    elif folder is not None:
        path = _default_file(folder, cwd)
        extra += ["--file", str(path)] if path.name == CACHED_FILE else []
    if path is not None and not path.is_file():
        raise WrongUsage(
            f"there is no file {path}. Name one with -f, or copy {CACHED_FILE} of this program to your project."
        )
    tags = options.get("tag", [])
    if not tags and folder is not None and "output" not in options:
        tags = [default_tag(folder)]
        extra += ["--tag", tags[0]]
    return BuildOptions(
        arguments=(*extra, *arguments, *([] if places else ["."])),
        context=folder,
        file=path,
        tags=tuple(tags),
        builder=_last(options, "builder"),
        platform=(_last(options, "platform") or "").partition(",")[0] or None,
        quiet=_last(options, "quiet") not in (None, "false"),
        build_args=tuple(_pair(value) for value in options.get("build-arg", [])),
        own_cache=any(name in options for name in _OWN_CACHE)
        or any(name == "BUILDKIT_INLINE_CACHE" for name, _ in map(_pair, options.get("build-arg", []))),
        secrets=frozenset(filter(None, map(_secret_id, options.get("secret", [])))),
    )


def own_platform() -> str:
    """What this machine's engine builds for where nobody names a platform, as in "linux/arm64"."""
    machine = platform.machine().lower()
    return f"linux/{_MACHINES.get(machine, machine)}"


def _default_file(folder: Path, cwd: Path) -> Path:
    """`Dockerfile.cached` of the context, else docker's own default there, else `Dockerfile.cached` of `cwd`.

    So the file of a checkout of this program builds any project that has none.
    """
    places = (folder / CACHED_FILE, folder / "Dockerfile", cwd / CACHED_FILE)
    return next((path for path in places if path.is_file()), folder / "Dockerfile")


def default_tag(folder: Path) -> str:
    """`<folder>-cached:latest`, with what a tag cannot have replaced."""
    name = _NOT_OF_A_NAME.sub("-", folder.resolve().name.lower()).strip("-")
    return f"{name or 'image'}-cached:latest"


def _parsed(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options by their long names with their values, and the other arguments with an empty name."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            yield from (("", left) for left in rest)
        elif argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            if name in _SWITCHES:
                yield name, value if equals else "true"
            else:
                yield name, value if equals else _next(rest, argument)
        elif argument.startswith("-") and argument != _STDIN:
            yield from _short(argument[1:], rest)
        else:
            yield "", argument


def _short(letters: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Short options in one argument: switches, and behind them at most one with a value."""
    for position, letter in enumerate(letters):
        name = _SHORT.get(letter, letter)
        if name in _SWITCHES:
            yield name, "true"
            continue
        value = letters[position + 1 :].removeprefix("=")
        yield name, value or _next(rest, f"-{letter}")
        return


def _next(rest: Iterator[str], option: str) -> str:
    value = next(rest, None)
    if value is None:
        raise WrongUsage(f"{option} needs a value")
    return value


def _pair(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def _secret_id(text: str) -> str | None:
    fields = dict(_pair(field) for field in text.split(","))
    return fields.get("id")


def _last(options: Mapping[str, Sequence[str]], name: str) -> str | None:
    return options[name][-1] if name in options else None


def proxy_arguments(
    options: BuildOptions, file: Dockerfile | None, docker_config: Mapping[str, Any], port: int
) -> tuple[list[str], list[str]]:
    """Arguments of `docker build`, and lines for the person. `port`: of the cache for the build.

    A proxy that the person or Docker's configuration names would also get what goes to the cache, but for `no_proxy`.
    The cache as a proxy refuses what a RUN asks of its own server.
    """
    configured: Mapping[str, str] = (docker_config.get("proxies") or {}).get("default") or {}
    other = bool({"httpProxy", "allProxy"} & {name for name, value in configured.items() if value})
    other |= options.build_arg(*_OF_APT)
    arguments, notes = [], []
    if file is not None and dockerfile_advice.wants_http_proxy(file):
        why = _why_not(file, other=other)
        if why is None:
            arguments += ["--build-arg", f"http_proxy=http://{NAME}:{port}"]
        else:
            notes.append(f"apt goes past the cache where it has no secret: {why}.")
    if other or arguments:
        if options.build_arg("no_proxy", "NO_PROXY"):
            notes.append(f"no_proxy is given: it has to name {NAME}, or pip and uv ask the proxy for the cache.")
        else:
            named = [one.strip() for one in (configured.get("noProxy") or "").split(",")]
            without = ",".join(filter(None, dict.fromkeys([*named, *_NOT_BY_PROXY])))
            arguments += ["--build-arg", f"no_proxy={without}", "--build-arg", f"NO_PROXY={without}"]
    return arguments, notes


def _why_not(file: Dockerfile, *, other: bool) -> str | None:
    """Why the cache cannot be the http_proxy of this file; None if it can."""
    if other:
        return "another http_proxy is given"
    if dockerfile_advice.declares_http_proxy(file):
        return "the Dockerfile has an ARG http_proxy, so its value would rebuild layers"
    plain = dockerfile_advice.fetches_plain_http(file)
    if plain:
        return f"line {plain[0]} fetches over plain HTTP, and the cache as http_proxy would refuse that"
    return None
