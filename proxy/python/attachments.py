"""Files that belong to a distribution and have no link of their own: its metadata, its signature. Pure.

The distribution's link says whether there is one. Its address is that of the distribution with an ending behind the
path (PEP 503, PEP 658).
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from proxy.model import Digest, Target
from proxy.python.page import File

METADATA, SIGNATURE = ".metadata", ".asc"


class Owner(NamedTuple):
    """The address of a distribution, and the ending of the file that belongs to it."""

    target: Target
    ending: str


def url_of(url: str, ending: str) -> str:
    """The address of a file that belongs to the distribution at `url`. A query stays: it may be a signature."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path}{ending}", fragment=""))


def metadata_url(url: str) -> str:
    """The address of the metadata file of the distribution at `url` (PEP 658)."""
    return url_of(url, METADATA)


def owner_of(target: Target) -> Owner | None:
    """The distribution that the file at `target` belongs to by its name; None if it belongs to none."""
    ending = next((ending for ending in (METADATA, SIGNATURE) if target.path.endswith(ending)), None)
    return Owner(Target(target.mount, target.host, target.path.removesuffix(ending)), ending) if ending else None


def promised(owner: File, ending: str) -> File | None:
    """The file with this ending that the link of a distribution promises; None if it promises none."""
    said = owner.core_metadata if ending == METADATA else owner.gpg_sig
    if not said:
        return None
    digests = (said,) if isinstance(said, Digest) else ()
    return File(f"{owner.filename}{ending}", url_of(owner.url, ending), digests, project=owner.project)
