"""Hashes that a page gives of files: in JSON's tables, in fragments of links, in attributes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from proxy.model import ALGORITHMS, Digest
from proxy.python.page import NOTHING

_SHA256 = re.compile(r"[0-9a-f]{64}")


def of_table(given: Mapping[str, object]) -> tuple[tuple[Digest, ...], Mapping[str, object]]:
    """Those that can be checked, the most trusted first; and the others, as they came."""
    digests: list[Digest] = []
    others: dict[str, object] = {}
    for name, value in given.items():
        digest = digest_of(name, value) if isinstance(value, str) else None
        if digest is not None:
            digests.append(digest)
        else:
            others[name] = value
    if len(digests) > 1:
        digests.sort(key=_trust)
    return tuple(digests), others or NOTHING


def digest_of(name: str, value: str) -> Digest | None:
    """The digest of this algorithm, if it is one that can be checked."""
    if name == "sha256" and _SHA256.fullmatch(value):
        return Digest(name, value)  # nearly all are, and there are thousands
    return Digest.parse(f"{name}={value}")


def _trust(digest: Digest) -> int:
    return ALGORITHMS.index(digest.algorithm)


def of_fragment(fragment: str) -> tuple[str, tuple[Digest, ...]]:
    """The fragment as it is to be kept, empty where it is just a digest; and the digests in it (PEP 503)."""
    if not fragment:
        return "", ()
    decoded = unquote(fragment)
    name, _, value = decoded.partition("=")
    digest = digest_of(name, value)
    if digest is not None:
        return "", (digest,)
    digests = [digest for part in decoded.split("&") if (digest := Digest.parse(part)) is not None]
    return decoded, tuple(sorted(digests, key=_trust))
