"""How nginx is set up: what a person who knows it would write to cache a Python index.

Files are kept for ever and pages for ten minutes; links are rewritten by `sub_filter` at every answer, for nginx keeps
a page as it came. `servers` calls it.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def command(folder: Path) -> list[str]:
    """The command that serves what `prepare` wrote."""
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def prepare(folder: Path, port: int, origin: str) -> None:
    """Write the configuration of a cache on `port` before `origin` into `folder`."""
    rewriting = f"""
    location /simple/ {{
      proxy_pass http://origin;
      proxy_cache_valid 200 10m;
      proxy_cache_revalidate on;
      proxy_cache_background_update on;
      sub_filter '{origin}/packages/' '/packages/';
      sub_filter_once off;
    }}
    location /packages/ {{
      proxy_pass http://origin;
      proxy_cache_valid 200 365d;
    }}"""
    _write(folder, port, _caching(folder, origin), f"proxy_cache_key $uri;{rewriting}")


def prepare_whole(folder: Path, port: int, origin: str, simple: str) -> None:
    """The same for an index that has files and pages, in several forms, below one address.

    `simple`: the path of its pages.
    """
    locations = f"""
    location / {{
      proxy_pass http://origin;
      proxy_cache_valid 200 365d;
    }}
    location {simple} {{
      proxy_pass http://origin;
      proxy_cache_valid 200 10m;
      proxy_cache_revalidate on;
      sub_filter '{origin}/' 'http://$http_host/';
      sub_filter_types *;
      sub_filter_once off;
    }}"""
    _write(folder, port, _caching(folder, origin), f'proxy_cache_key "$uri $http_accept";{locations}')


def prepare_files(folder: Path, port: int, root: Path, *, log: bool) -> None:
    """A server of plain files below `root`. `log`: with its access log, in the form and unbuffered as by default."""
    chosen = f"access_log {folder}/access.log;" if log else "access_log off;"
    _write(folder, port, "", f"root {root}; {chosen}")


def _caching(folder: Path, origin: str) -> str:
    upstream = origin.removeprefix("http://")
    return f"""
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=cache:16m inactive=30d max_size=100g use_temp_path=off;
  upstream origin {{ server {upstream}; keepalive 64; }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host {upstream};
  proxy_set_header Accept-Encoding "";
  proxy_cache cache;
  proxy_cache_lock on;
  proxy_cache_lock_timeout 1h;
  proxy_cache_lock_age 1h;
  proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;"""


def _write(folder: Path, port: int, common: str, server: str) -> None:
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    temporary = "\n".join(f"  {kind}_temp_path {folder}/temp-{kind};" for kind in _TEMPORARY)
    (folder / "nginx.conf").write_text(
        f"""{user}
worker_processes 2;
daemon off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
{temporary}
  access_log off;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush off;
  keepalive_requests 1000000;{common}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    {server}
  }}
}}
""",
        encoding="utf-8",
    )
