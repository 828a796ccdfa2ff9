"""Layouts of indexes: which pages may list a file that no kept page lists. Pure.

Asked by `catalog` when a file is wanted before its page, by the address that a lock file keeps. Never fetches; knows
where indexes put pages and files, and orders the likely pages so that the first is nearly always the one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from packaging.utils import canonicalize_name

from proxy.model import Site, Target
from proxy.python import addresses

MOST = 8  # pages that are asked for one file
_FRONTS = 3  # folders of other projects' pages that are tried
_LABEL = re.compile(r"\+([a-z]+[0-9.]*)(?=[-.]|$)")  # of a local version (PEP 440) that is called as a channel


def likely_pages(target: Target, site: Site, project: str, fronts: Iterable[str] = ()) -> list[tuple[Target, str]]:
    """The pages that may list the file at `target`, the likeliest first, and the project that each is of.

    The project of a flat page is ''. `fronts`: folders in which pages of other projects were found, the last one first.
    """
    paths = _flat(target) if site.flat else _of_project(target, site, project, fronts)
    below = (path for path in dict.fromkeys(paths) if site.flat or path.startswith(site.index))
    return [(Target(site.mount, None, path), "" if site.flat else project) for path in islice(below, MOST)]


def _of_project(target: Target, site: Site, project: str, fronts: Iterable[str]) -> Iterator[str]:
    folder, name = addresses.folder_of(target), addresses.name_of(target)
    # Another host's folders say something of this index only where they are called as its own.
    above = list(_above(folder)) if target.host is None or site.index else []
    # NVIDIA's files lie beside their page, those of some registries one folder deeper.
    own = [path for path in above if canonicalize_name(path[:-1].rpartition("/")[2]) == project]
    yield from own
    # Those of PyTorch's channels lie beside the folder of the page.
    yield from (f"{path}{project}/" for path in above[:1] if not own)
    # A channel is called as the local version of what is built for it: 2.8.0+cu126.
    # It is below the index, or below the folder that has the files of all channels, such as nightly/.
    roots = (site.index, *(path for path in above[:1] if not own))
    labels = _LABEL.findall(name.replace("_", "."))
    yield from (f"{root}{label}/{project}/" for root in roots for label in labels if not root.endswith(f"/{label}/"))
    yield f"{site.index}{project}/"
    yield from (f"{front}{project}/" for front in islice(fronts, _FRONTS))
    if not site.index:
        # Registries have their pages below simple/ or +simple/, and the files in a folder beside that.
        yield from (f"{path}+simple/{project}/" for path in above if f"/{folder}/".startswith(f"/{path}+"))
        yield from (f"{path}simple/{project}/" for path in above)


def _flat(target: Target) -> Iterator[str]:
    """The listing of the folder, what PyG calls it, and what buckets do; and the listing at the base."""
    folder = addresses.folder_of(target) if target.host is None else ""
    if folder:
        yield from (f"{folder}/", f"{folder}.html", f"{folder}/index.html")
    yield ""


def _above(folder: str) -> Iterator[str]:
    """A folder and those above it, each with a slash behind it; the base is the last, and empty."""
    while folder:
        yield f"{folder}/"
        folder = folder.rpartition("/")[0]
    yield ""
