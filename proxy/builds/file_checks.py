"""What `doctor` says of a project: its Dockerfile, the variables of its base images, its own settings of uv."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from proxy.builds import dockerfile_advice
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.findings import Finding, doubtful, ok, skipped


def dockerfile(path: Path, file: Dockerfile) -> Iterator[Finding]:
    """What of its RUNs goes past the cache."""
    advices = dockerfile_advice.past_the_cache(file)
    for advice in advices:
        yield doubtful("dockerfile", f"{path.name}, line {advice.line}: {advice.text}", advice.remedy)
    if dockerfile_advice.wants_http_proxy(file):
        yield ok("dockerfile", f"{path.name}: apt has no secret; `pullthrough build` gives it http_proxy")
    elif not advices:
        yield ok("dockerfile", f"{path.name}: nothing of it goes past the cache")


def images(file: Dockerfile, environment: Callable[[str], Mapping[str, str] | None]) -> Iterator[Finding]:
    """What variables of its base images do to the secrets. `environment`: of an image; None: the engine has it not."""
    for base in file.bases:
        variables = environment(base)
        if variables is None:
            yield skipped("base image", f"{base} is not pulled yet: docker pull {base}")
            continue
        found = dockerfile_advice.of_image(variables, base)
        for advice in found:
            yield doubtful("base image", advice.text, advice.remedy)
        if not found:
            yield ok("base image", f"{base} sets nothing that overrides the secrets")


def uv_settings(context: Path) -> Iterator[Finding]:
    """The default index of a project comes before that of the secret file."""
    for name, keys in (("pyproject.toml", ("tool", "uv")), ("uv.toml", ())):
        try:
            table = tomllib.loads((context / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for key in keys:
            table = table.get(key) or {}
        indexes = table.get("index") or []
        own = [one for one in indexes if isinstance(one, dict) and one.get("default")]
        if own or table.get("index-url"):
            yield doubtful(
                "uv",
                f"{name} has a default index of its own, so uv goes past the cache",
                "Remove it there.",
            )
