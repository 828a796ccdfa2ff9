"""Predefined build arguments that name a proxy: the cache for apt where it has no secret, and none before the cache.

Docker knows these arguments without an ARG: they are no parts of layer keys, and stand in no image. Pure; called by
`build`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.builds import dockerfile_advice
from proxy.builds.build_options import BuildOptions
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.secret_files import NAME

_OF_APT = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def proxy_arguments(
    options: BuildOptions, file: Dockerfile | None, docker_config: Mapping[str, Any], port: int
) -> tuple[list[str], list[str]]:
    """Arguments of `docker build`, and lines for the person. `port`: of the cache for the build.

    A proxy that the person or Docker's configuration names would also get what goes to the cache, but for `no_proxy`.
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
            without = ",".join(filter(None, [configured.get("noProxy"), NAME]))
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
