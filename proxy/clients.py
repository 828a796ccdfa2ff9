"""The texts that point a client at the cache: shell lines for pip and for uv, settings and a script for apt.

Called by `commands` when the server has started, and by the edge for its front page. Pure texts: nothing is written, no
client is looked for. `base_url` is the cache's own address, such as `http://127.0.0.1:3142`, with or without a slash at
its end.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def index_url(base_url: str, mount: str = "pypi", index: str = "simple/") -> str:
    """The index address to give to a client. `index` is the path of the upstream's index below its mount."""
    return f"{base_url.rstrip('/')}/{mount}/{index}"


def pip_lines(base_url: str, mount: str = "pypi", index: str = "simple/") -> list[str]:
    """Shell lines after which pip installs through the cache.

    pip takes no index over plain HTTP from a host other than the machine itself unless the host is named as trusted.
    """
    lines = [f"export PIP_INDEX_URL={index_url(base_url, mount, index)}"]
    if urlsplit(base_url).scheme == "http" and not _on_this_machine(base_url):
        lines.append(f"export PIP_TRUSTED_HOST={urlsplit(base_url).netloc}")
    return lines


def uv_lines(base_url: str, mount: str = "pypi", index: str = "simple/") -> list[str]:
    """Shell lines after which uv installs through the cache. It reads no PIP_ variable; plain HTTP is fine."""
    return [f"export UV_DEFAULT_INDEX={index_url(base_url, mount, index)}"]


def apt_lines(base_url: str) -> list[str]:
    """Lines of a file of /etc/apt/apt.conf.d after which apt fetches through the cache.

    apt would ask the proxy for a tunnel to each https source too. Nothing that passes through one is kept, so apt is
    told to go there itself.
    """
    return [f'Acquire::http::Proxy "{base_url.rstrip("/")}/";', 'Acquire::https::Proxy "DIRECT";']


def apt_detecting_script(base_url: str) -> str:
    """A script for `Acquire::http::Proxy-Auto-Detect`: apt uses the cache when it answers, and else none.

    It needs nothing that an image with apt lacks: a POSIX shell, coreutils, and apt's own downloader.
    """
    return _DETECT.replace("@CACHE@", base_url.rstrip("/"))


_DETECT = """\
#!/bin/sh
# For apt: prints the cache's address if the cache answers, else DIRECT. Save it where apt's user may run it, such as
# /usr/local/bin/apt-proxy-detect, make it executable, and name it in a file of /etc/apt/apt.conf.d:
#   Acquire::http::Proxy-Auto-Detect "/usr/local/bin/apt-proxy-detect";
cache=@CACHE@

found=DIRECT
case $1 in
  https:*) ;; # a tunnel would keep nothing
  *)
    if answer=$(mktemp); then
      trap 'rm -f "$answer"' EXIT
      # The options keep apt's own downloader from asking this script in turn, and from trying for long.
      if timeout 5 /usr/lib/apt/apt-helper -o Acquire::http::Proxy=DIRECT -o Acquire::http::Proxy-Auto-Detect= \
        -o Acquire::http::ProxyAutoDetect= -o Acquire::Retries=0 -o Acquire::http::Timeout=2 \
        download-file "$cache/readyz" "$answer" >/dev/null 2>&1; then
        found=$cache/
      fi
    fi
    ;;
esac
echo "$found"
"""


def _on_this_machine(base_url: str) -> bool:
    """Whether pip counts the host as secure without TLS: `localhost`, 127.0.0.0/8, ::1."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
