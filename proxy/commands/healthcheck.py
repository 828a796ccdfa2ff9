"""`pullthrough healthcheck`: ask the running proxy whether it serves, as the health check of a container does.

Called by `cli`. It asks over the port that clients use, since that is what has to work, and needs no other program.
What it found is one line on standard output, which Docker shows in `docker inspect`.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Sequence

from proxy import address_text
from proxy.builds import running_cache

_PATH = "/healthz"
_WAIT = 3.0  # seconds for an answer; Docker waits a little longer for the command
_LONGEST = 1000  # bytes of an answer that is the proxy's own


def healthcheck(hosts: Sequence[str], port: int) -> int:
    """Ask at the first of `hosts`. Gives 0 if it serves, be it past a disk that fails; 1 if not; 2 without a port."""
    if not port:
        _print("port 0 is any free one: name the one that it listens on with --port")
        return 2
    healthy, found = asked(running_cache.where_asked(hosts[0]), port)
    _print(found)
    return 0 if healthy else 1


def asked(host: str, port: int) -> tuple[bool, str]:
    """Whether the proxy at this address serves, and a line that says what was found."""
    place = f"http://{address_text.bracketed(host)}:{port}"
    try:
        answer = running_cache.get(host, port, _PATH, wait=_WAIT, longest=_LONGEST)
    except TimeoutError:
        return False, f"{place} did not answer within {_WAIT:.0f} s"
    except OSError as error:
        return False, f"{place} cannot be reached: {error.strerror or error}. Start the proxy: pullthrough serve"
    except http.client.HTTPException:
        return False, f"{place} is another program: it does not speak HTTP. Name the proxy's own port with --port"
    text = answer.body.decode("utf-8", "replace").strip()
    if answer.status == http.client.OK and answer.whole and (text == "ok" or text.startswith("degraded:")):
        return True, f"{place} serves: {text}"
    return False, f"{place} is another program: it has no {_PATH} such as ours. Name the proxy's own port with --port"


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
