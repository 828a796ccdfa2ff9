"""What compose.yaml reads for the cache that `setup` starts: addresses, folder, owner, and the proxy on the way out.

Called by `setup`, which hands the variables to Compose and writes them to its file `.env`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from proxy.builds import builders
from proxy.builds.candidates import DESKTOP_NAME
from proxy.builds.setup_plan import SetupPlan, Ways

USER = 1000  # who the cache is in its container where root sets it up

# Docker's names in config.json, and the variables that stand for them.
_PROXIES = {"httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "allProxy": "ALL_PROXY"}
_NO_PROXY = {"noProxy": "NO_PROXY"}


def variables(
    plan: SetupPlan, ways: Ways, environ: Mapping[str, str], others: str, say: Callable[[str], None]
) -> dict[str, str]:
    """Addresses, folder and owner, and the proxy. A single address is there twice, and counts once.

    `others`: a person's own lines of `.env`. Raises OSError if the data folder cannot be looked at.
    """
    if plan.volume:
        say(f"what the cache stores is in Docker's volume {plan.volume}, as .env beside compose.yaml says")
        owner = (os.geteuid() or USER, os.getegid() or USER)
    else:
        folder = plan.data.stat()
        owner = (folder.st_uid, folder.st_gid)
    if ways.engine is not None and ways.engine.facts.rootless:
        owner = (0, 0)  # which such an engine makes of its own user; any other number would be nobody of this machine
    out = proxies(builders.read_docker_config(environ), environ, others, plan, ways)
    if out:
        say(f"the cache takes {', '.join(out)} from Docker's config.json: it names the proxy for containers")
    return {
        "PULLTHROUGH_USER": f"{owner[0]}:{owner[1]}",
        "PULLTHROUGH_DATA": str(plan.data),
        "PULLTHROUGH_PORT": str(plan.place.port),
        "PULLTHROUGH_LISTEN": ways.hosts[0],
        "PULLTHROUGH_BRIDGE": ways.hosts[-1],
        **plan.own,
        **out,
    }


def proxies(
    docker_config: Mapping[str, Any], environ: Mapping[str, str], others: str, plan: SetupPlan, ways: Ways
) -> dict[str, str]:
    """The proxy that Docker's config.json gives to containers, for the cache's own one; empty where another is named.

    compose.yaml keeps what is in config.json from the cache: it may be the cache itself (`--write docker`), which would
    ask itself for everything. `others`: a person's lines of `.env`.
    """
    named = {*environ, *re.findall(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=", others, re.MULTILINE)}
    if any(variable in named or variable.lower() in named for variable in _PROXIES.values()):
        return {}
    configured = (docker_config.get("proxies") or {}).get("default") or {}
    own = {(host, plan.place.port) for host in (*ways.hosts, ways.gateway, DESKTOP_NAME, "localhost")}
    found = {
        variable: str(configured[name])
        for name, variable in _PROXIES.items()
        if configured.get(name) and _place(str(configured[name])) not in own
    }
    without = _NO_PROXY if found and not {"NO_PROXY", "no_proxy"} & named else {}
    return found | {variable: str(configured[name]) for name, variable in without.items() if configured.get(name)}


def _place(proxy: str) -> tuple[str | None, int | None]:
    """The host and the port of a proxy's address; None where it has none."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        return parts.hostname, parts.port
    return None, None
