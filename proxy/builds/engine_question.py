"""Whether the engine has any cache in a container, asked without its library, which takes long to load.

Called by `contained_cache` first: on most machines the answer is no. Wherever anything is unusual, `engine` is asked.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from proxy.builds.engine_answers import ROLE_LABEL

_SOCKET = "/var/run/docker.sock"
_UNIX = "unix://"
_WAIT = 5.0  # seconds for an answer
_NONE = b"[]"


def none_contained(environ: Mapping[str, str], role: str = "cache") -> bool:
    """Whether no container has this role, since the engine says so, or there is none.

    False where that is not certain: an engine that is not understood, or perhaps not the one that is meant.
    """
    place = _place(environ)
    if place is None:
        return False
    filters = quote(json.dumps({"label": [f"{ROLE_LABEL}={role}"]}))
    connection = http.client.HTTPConnection("localhost", timeout=_WAIT)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(_WAIT)
        connection.sock.connect(place)
        connection.request("GET", f"/containers/json?all=1&filters={filters}")
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK and answer.read(len(_NONE) + 2).strip() == _NONE
    except (FileNotFoundError, ConnectionRefusedError):
        return True  # no engine listens there, so there is no container
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _place(environ: Mapping[str, str]) -> str | None:
    """The socket of the engine that `docker` would use; None where that is another way, or needs a look at contexts."""
    if host := environ.get("DOCKER_HOST"):
        return "/" + host.removeprefix(_UNIX).lstrip("/") if host.startswith(_UNIX) else None
    folder = environ.get("DOCKER_CONFIG") or (f"{environ['HOME']}/.docker" if environ.get("HOME") else "")
    if environ.get("DOCKER_CONTEXT") or not folder:
        return None
    try:
        chosen = json.loads(Path(folder, "config.json").read_bytes()).get("currentContext")
    except FileNotFoundError:
        return _SOCKET
    except (OSError, ValueError, AttributeError):
        return None
    return None if chosen else _SOCKET
