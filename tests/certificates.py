"""Certificates of a private authority, as companies and labs have them, for the tests' upstreams.

`trustme` makes them. Nobody trusts the authority until somebody is told of its bundle by `SSL_CERT_FILE`.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import trustme

_NAMES = ("localhost", *(f"127.0.0.{last}" for last in range(1, 10)))


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """What an upstream on a loopback address needs to speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*_NAMES).configure_cert(context)
    return context


def bundle(authority: trustme.CA, path: Path) -> Path:
    """Write the authority's certificate to `path`, together with all that are trusted already."""
    trusted = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    known = Path(trusted).read_bytes() if trusted and Path(trusted).is_file() else b""
    path.write_bytes(authority.cert_pem.bytes() + b"\n" + known)
    return path
