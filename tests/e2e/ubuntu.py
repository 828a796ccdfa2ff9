"""Ubuntu's archive, as Debian's own packages know it: its address, its current release, its key.

Used by the end-to-end tests. `E2E_UBUNTU=no` in the environment says that there is no way to it from this machine.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import re
from pathlib import Path

from tests.e2e.apt import AptRoot, Source, own_sources
from tests.e2e.archive import architecture, tool
from tests.e2e.clients import Failed

TEMPLATES = Path("/usr/share/python-apt/templates/Ubuntu.info")  # of python-apt-common
RELEASES = Path("/usr/share/distro-info/ubuntu.csv")  # of distro-info-data
_KEYRING = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")  # of ubuntu-keyring


def left_out() -> bool:
    """Whether this machine is said to have no way to it."""
    return os.environ.get("E2E_UBUNTU") == "no"


def archive(folder: Path) -> Source:
    """Its newest release with long support, which answered just now, without the cache.

    `folder` is for files of its own. Raises Failed with what to do if it did not answer.
    """
    source = Source(_address(), _suite(), "main", str(_keyring(folder)))
    ran = AptRoot(folder / "direct", [source]).update()
    if ran.status:
        raise Failed(
            "Ubuntu's archive does not answer apt on this machine: open the way to it, "
            f"or say with E2E_UBUNTU=no that there is none\n{ran.output}"
        )
    return source


def _address() -> str:
    """What is written for this kind of machine, or for all that have no line of their own."""
    fields: dict[str, str] = dict(re.findall(r"^(BaseURI\S*): *(\S+)$", _first_stanza(), re.MULTILINE))
    return (fields.get(f"BaseURI-{architecture()}") or fields["BaseURI"]).rstrip("/")


def _first_stanza() -> str:
    """Of the newest release's binary packages; those after it are about sources and older releases."""
    stanzas = TEMPLATES.read_text("utf-8").split("\n\n")
    return next(stanza for stanza in stanzas if re.search(r"^RepositoryType: deb$", stanza, re.MULTILINE))


def _suite() -> str:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    with RELEASES.open(encoding="utf-8", newline="") as lines:
        supported = [row for row in csv.DictReader(lines) if row["version"].endswith("LTS") and row["release"] <= today]
    return max(supported, key=lambda row: row["release"])["series"]


def _keyring(folder: Path) -> Path:
    """The machine's own, or that of Debian's current release, which Debian has signed: not every release has it."""
    if _KEYRING.exists():
        return _KEYRING
    own = own_sources()[0]
    debian = AptRoot(folder / "debian", [Source(own.address, "stable", "main", own.signed_by)])
    ran = debian.update()
    ran = ran if ran.status else debian.download("ubuntu-keyring")
    packages = list(debian.archives.glob("ubuntu-keyring_*.deb"))
    if ran.status or not packages:
        raise Failed(f"Debian's stable release has no ubuntu-keyring; install that package\n{ran.output}")
    unpacked = folder / "unpacked"
    tool(["dpkg-deb", "--extract", str(packages[0]), str(unpacked)])
    return unpacked / _KEYRING.relative_to("/")
