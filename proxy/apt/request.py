"""What a client asks at an address of an archive, as the edge read it."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.given import Memory
from proxy.model import Span


@dataclass(frozen=True, slots=True)
class Request:
    """`memory` is the client's on its connection, `client` what it is known by on others.

    `shared`: others may be known by the same.
    """

    address: ArchiveAddress
    span: Span | None = None
    if_range: str | None = None
    revalidate: bool = False  # its Cache-Control says no-cache
    head: bool = False  # only the head of the answer is wanted
    client: str = "-"
    memory: Memory = field(default_factory=dict)
    shared: bool = False
    authorization: str | None = field(default=None, repr=False)  # what it says of who it is (RFC 9110 §11.6.2)
