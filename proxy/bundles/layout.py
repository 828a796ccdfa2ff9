"""Where a bundle has what: the key of an entry → a path in the tar. Pure.

The tree is one that plain tools read: distributions and packages are at upstream's path, below the name of their host.
A path never says what bytes mean: the manifest does, by its entries. Keys are those of docs/formats.md.
"""

from __future__ import annotations

import re

MANIFEST = "MANIFEST.json"
SUMS = "SHA256SUMS"
APPLY = "apply.py"
README = "README.txt"
FIND_LINKS = "find-links.html"  # all distributions, for pip --find-links

FILES = "files"  # distributions, and what lies beside them: files/<mount>/<host>/<path>
PAGES = "pages"  # index pages: pages/<mount>/<path>
SIMPLE = "simple"  # for pip and web servers: simple/<project>/index.html
APT = "apt"  # for apt and web servers: apt/<host>/<path>
OTHER = "other"  # what has no path of its own: other/<sha256>

OWN_HOST = "_"  # stands for what lies below the mount's own base
LISTING = "+page"  # the name of a page whose path is that of a folder
REMOVED = "+removed"  # the ending of what the page before it does not list any more

_LONGEST = 4096  # bytes of a path
_LONGEST_NAME = 255  # bytes of a file's name
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_ADDRESS = re.compile(r"https?://(?P<host>[^/]+)/(?P<path>.*)")
_INDEX = re.compile(r"(?P<suite>https?://[^/]+/[^:]*(?::[^:]*)*?):(?P<digest>[0-9a-f]{32,128}):(?P<path>.+)")


def sound(path: str) -> bool:
    """Whether a path names a file below a folder, on every system: relative, and without dots or a backslash."""
    names = path.split("/")
    try:
        sizes = list(map(len, names)) if path.isascii() else [len(name.encode()) for name in names]
    except UnicodeError:
        return False
    return (
        0 < min(sizes)
        and max(sizes) <= _LONGEST_NAME
        and sum(sizes) + len(sizes) - 1 <= _LONGEST
        and not _CONTROL.search(path)
        and "." not in names
        and ".." not in names
    )


def path_of(key: str) -> str | None:
    """Where a bundle has the body of the entry with this key; None if the key gives no path: `spare` does."""
    form, _, rest = key.partition(":")
    path = None
    if form in {"page", "removed"}:
        path = _of_page(form, rest)
    elif form == "file" and rest.count(":") > 2:  # noqa: PLR2004 - mount, project, host, path
        mount, _, host, below = rest.split(":", 3)
        path = f"{FILES}/{mount}/{_host(host.replace('/', ':')) or OWN_HOST}/{_plain(below)}"
    elif form == "apt":
        path = _of_archive(*rest.split(":", 1)) if ":" in rest else None
    return path if path is not None and sound(path) else None


def spare(sha256: str) -> str:
    """The path of a body that has no other, or whose path another body has."""
    return f"{OTHER}/{sha256}"


def page_of(project: str) -> str:
    """The page of a project for pip and for web servers. `project`: its normalised name."""
    return f"{SIMPLE}/{project}/index.html"


def _of_page(form: str, rest: str) -> str | None:
    if rest.count(":") < 2:  # noqa: PLR2004 - mount, project, path
        return None
    mount, _, below = rest.split(":", 2)
    path = f"{PAGES}/{mount}/{_plain(below)}"
    path = f"{path}{LISTING}" if path.endswith("/") else path
    return path if form == "page" else f"{path}{REMOVED}"


def _of_archive(kind: str, rest: str) -> str | None:
    match kind:
        case "file" | "document":
            return _below(rest)
        case "release":
            suite, _, name = rest.rpartition(":")
            return _below(f"{suite}{name}")
        case "signature":
            return _below(f"{rest.rpartition(':')[0]}Release.gpg")
        case "index" if (match := _INDEX.fullmatch(rest)) is not None:
            return _below(f"{match['suite']}{match['path']}")
        case _:
            return None


def _below(address: str) -> str | None:
    match = _ADDRESS.fullmatch(address)
    return f"{APT}/{_host(match['host'])}/{_plain(match['path'])}" if match is not None else None


def _host(text: str) -> str:
    """A host as a folder's name: a colon parts what is no folder's name on some systems."""
    return text.replace(":", "+")


def _plain(path: str) -> str:
    """A decoded path in which an encoded slash stands as a backslash, as names of files have it."""
    return path.replace("\\", "%2F")
