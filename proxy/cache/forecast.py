"""What a request for an address would come to, and why: worked out from what is stored, without asking upstream.

Made by `python.forecasts` and `apt.forecasts`, for a person who asks. It is what the services would do as far as disk
and settings tell; what upstream would answer, nobody knows before. Times are seconds since the epoch, sizes bytes.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from proxy.model import Entry


class Verdict(Enum):
    """What would happen."""

    HIT = "hit"  # the stored copy is sent
    REVALIDATE = "revalidate"  # upstream is asked whether the stored copy is still right
    FETCH = "fetch"  # it is fetched
    SHARED = "shared"  # a download of it is under way, which the client follows
    PASS = "pass"  # noqa: S105 - no password: it comes from upstream each time, and is not stored
    REDIRECT = "redirect"  # the client is sent to another address
    OWN = "own"  # the program itself answers
    REFUSE = "refuse"  # nobody gets it


class DecidingSetting(msgspec.Struct, frozen=True):
    """A setting that decides here, by its name in docs/configuration.md, and its value as it is written."""

    name: str
    value: str


class StoredCopy(msgspec.Struct, frozen=True):
    """What is stored under the address. `stored`: since when; `confirmed`: when upstream last gave or confirmed it."""

    sha256: str
    size: int
    stored: float
    confirmed: float

    @classmethod
    def of(cls, entry: Entry | None) -> StoredCopy | None:
        """The copy of an entry, if there is one."""
        return cls(entry.digest.value, entry.size, entry.stored, entry.checked) if entry is not None else None


class ListingPage(msgspec.Struct, frozen=True):
    """A stored page, or index of an archive, that may list a file. `fresh`: it is sent without asking upstream.

    `age`: seconds since upstream confirmed it. `lists`: whether the file is on it.
    """

    path: str
    age: float
    fresh: bool
    lists: bool


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen. `why`: sentences, the most important first.

    `address`: its path on the cache; `upstream`: where it is fetched from, without a query, which may be a secret.
    `promised`: the digest that it must have, as "sha256=…", by a page, by an index of an archive or by its name.
    """

    kind: str
    verdict: Verdict
    why: tuple[str, ...]
    address: str | None = None
    mount: str | None = None
    upstream: str | None = None
    settings: tuple[DecidingSetting, ...] = ()
    pages: tuple[ListingPage, ...] = ()
    promised: str | None = None
    stored: StoredCopy | None = None
