"""User-Agents as pip and uv send them."""

from __future__ import annotations

import json
from typing import Any

LINUX = {
    "cpu": "x86_64",
    "distro": {
        "id": "bookworm",
        "libc": {"lib": "glibc", "version": "2.36"},
        "name": "Debian GNU/Linux",
        "version": "12",
    },
    "implementation": {"name": "CPython", "version": "3.11.2"},
    "installer": {"name": "pip", "version": "26.3"},
    "python": "3.11.2",
    "system": {"name": "Linux", "release": "6.1"},
}


def agent(name: str = "pip/26.3", **changed: Any) -> str:
    """The User-Agent of pip on Debian 12, or of another client or system; None leaves a field out."""
    fields = {key: value for key, value in {**LINUX, **changed}.items() if value is not None}
    return f"{name} {json.dumps(fields, separators=(',', ':'))}"
