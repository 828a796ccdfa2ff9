"""Lists of hosts as people write them: a list in the file, a text with commas between in a flag or a variable.

Used by the settings. Never looks a name up.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?(?::[0-9]{1,5})?|\[[0-9a-f:.]{2,45}\](?::[0-9]{1,5})?")


def read_hosts(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """The parts of a text with commas; anything else as it is."""
    return [part.strip(" ") for part in value.split(",") if part.strip(" ")] if isinstance(value, str) else value


def check_host(value: str) -> str:
    """One host. Raises ValueError as for several."""
    (host,) = check_hosts(frozenset((value,)))
    return host


def check_hosts(value: frozenset[str]) -> frozenset[str]:
    """The hosts in lower case. Raises ValueError if one is no `host` or `host:port`."""
    hosts = frozenset(host.lower() for host in value)
    if not all(map(HOST.fullmatch, hosts)):
        # Not shown: somebody who writes more than a host may have written a password too.
        raise ValueError("must be names of hosts such as files.example or 10.0.0.7:8080, without a scheme or path")
    return hosts


Hosts = Annotated[frozenset[str], AfterValidator(check_hosts)]
ListedHosts = Annotated[Hosts, BeforeValidator(read_hosts)]  # of a setting that a flag or a variable may give too
