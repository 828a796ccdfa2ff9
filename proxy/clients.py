"""How clients are pointed at the cache: shell lines for pip and uv, settings and a script for apt.

`commands` prints them when the server has started, and the edge shows them on its front page. Texts only: nothing is
written, and no client is looked for. `base_url` is the cache's own address, such as `http://127.0.0.1:3142`, with or
without a slash at its end.
"""

from __future__ import annotations

import ipaddress
import json
from shlex import quote
from urllib.parse import urlsplit

from proxy import address_text

BUILD_HOST = "pullthrough"  # the one name by which builds reach the cache (ADR 15)
_PLAIN = "/+@:~!$&'()*,;="  # characters of a path that need no escape in an address


def index_url(base_url: str, mount: str = "pypi", index: str = "simple/") -> str:
    """The address of an index for a client. `index`: the path of the index below the mount, decoded."""
    return f"{base_url.rstrip('/')}/{mount}/{address_text.quoted(index, safe=_PLAIN)}"


def pip_lines(base_url: str, mount: str = "pypi", index: str = "simple/") -> list[str]:
    """Shell lines after which pip installs through the cache.

    pip uses an index over plain HTTP on another machine only if the host is named as trusted.
    """
    lines = [f"export PIP_INDEX_URL={quote(index_url(base_url, mount, index))}"]
    if host := _to_be_trusted(base_url):
        lines.append(f"export PIP_TRUSTED_HOST={quote(host)}")
    return lines


def pip_command(base_url: str, mount: str = "pypi", index: str = "simple/") -> str:
    """A shell line by which pip installs a package through the cache, once."""
    host = _to_be_trusted(base_url)
    trusted = f" --trusted-host {quote(host)}" if host else ""
    return f"pip install --index-url {quote(index_url(base_url, mount, index))}{trusted} PACKAGE"


def uv_lines(base_url: str, mount: str = "pypi", index: str = "simple/") -> list[str]:
    """Shell lines after which uv installs through the cache. It reads no PIP_ variable; plain HTTP is fine."""
    return [f"export UV_DEFAULT_INDEX={quote(index_url(base_url, mount, index))}"]


def uv_command(base_url: str, mount: str = "pypi", index: str = "simple/") -> str:
    """A shell line by which uv installs a package through the cache, once."""
    return f"uv pip install --default-index {quote(index_url(base_url, mount, index))} PACKAGE"


def pip_configuration(base_url: str, mount: str = "pypi", index: str = "simple/") -> str:
    """A pip.conf by which pip installs through the cache.

    The trusted host has its port: so pip stores what it gets over plain HTTP in its own cache, too.
    """
    parts = urlsplit(base_url)
    trusted = f"trusted-host = {parts.netloc}\n" if _to_be_trusted(base_url) else ""
    return f"[global]\nindex-url = {index_url(base_url, mount, index)}\n{trusted}"


def uv_configuration(base_url: str, mount: str = "pypi", index: str = "simple/") -> str:
    """A uv.toml by which uv installs through the cache. A project's own default index comes before it."""
    return f"[[index]]\nurl = {json.dumps(index_url(base_url, mount, index))}\ndefault = true\n"


def apt_lines(base_url: str) -> list[str]:
    """Lines of a file in /etc/apt/apt.conf.d after which apt fetches through the cache.

    apt would ask the proxy for a tunnel to each https source, too. What passes through a tunnel is not cached, so apt
    is set up to reach these sources itself.
    """
    return [f'Acquire::http::Proxy "{base_url.rstrip("/")}/";', 'Acquire::https::Proxy "DIRECT";']


def apt_command(base_url: str) -> str:
    """A shell line, for a user with sudo, after which apt fetches through the cache."""
    return f"echo {quote(' '.join(apt_lines(base_url)))} | sudo tee /etc/apt/apt.conf.d/01pullthrough"


def apt_detecting_script(base_url: str) -> str:
    """A script for `Acquire::http::Proxy-Auto-Detect`: apt uses the cache while it answers, and no proxy otherwise.

    It needs only what every image with apt has: a POSIX shell, coreutils, and apt's own downloader.
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
  https:*) ;; # what passes through a tunnel is not cached
  *)
    if answer=$(mktemp); then
      trap 'rm -f "$answer"' EXIT
      # The options keep apt's own downloader from calling this script in turn, and from trying for long.
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


def _to_be_trusted(base_url: str) -> str | None:
    """The host that pip must be told to trust, if any. Without the port, which older versions do not accept."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    # pip trusts these without TLS: `localhost`, 127.0.0.0/8, ::1.
    try:
        own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = host == "localhost"
    return None if own or parts.scheme != "http" else host
