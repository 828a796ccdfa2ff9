"""Whether `url` and `index` of an upstream fit each other: an index written into both is looked for below itself.

Called by `upstreams`: what can hardly be meant is refused, what is doubtful is told when the server starts. The texts
hold the lines to write. They show no more of an address than its host: its path may hold a token.
"""

from __future__ import annotations

from urllib.parse import urlsplit

DEFAULT = "simple/"
_LISTS = ("simple", "+simple")  # folders that hold the pages of projects, by the names that servers give them
_ROOTS = ("whl",)  # folders that hold the indexes of channels


def refusal(url: str) -> str | None:
    """What is wrong with the base address where no `index` was given, so that `simple/` is added; None: nothing."""
    parts, folders = urlsplit(url), _folders(url)
    if not folders or folders[-1].lower() not in _LISTS:
        return None
    last = f"{folders[-1]}/"
    other = f'write url = "{parts.scheme}://{parts.netloc}/"' if len(folders) == 1 else f"take {last} off its end"
    if last != DEFAULT:
        other += f' and write index = "{last}"'
    return (
        f'url ends in {last}, and index, which is "{DEFAULT}" where it is not given, is added: pages would be looked '
        f'for in {last}{DEFAULT}. Write index = "" beside this url, or {other}. If the pages are in '
        f'{last}{DEFAULT}, write index = "{DEFAULT}".'
    )


def doubt(url: str, index: str, *, given: bool) -> str | None:
    """What is odd about an `index` beside this base address and may be meant all the same; None: nothing.

    `given`: it was written, not left to its default.
    """
    folders, further = _folders(url), _folders(index)
    for count in range(len(further), 0, -1):
        if folders[-count:] == further[:count]:
            same, rest = "/".join(further[:count]), "/".join((*further[count:], ""))
            return (
                f"url ends in {same}/, and index begins with it: pages are looked for in {same}/{index}. If they are "
                f'not there, write index = "{rest}".'
            )
    inner = next((folder for folder in folders if folder.lower() in (*_LISTS, *_ROOTS)), None)
    if inner is None or (given and index != DEFAULT):
        return None
    return (
        f'url goes through {inner}/, and index is "{index}": pages are looked for in {index} below url. If they are '
        f'directly below it, write index = "". If url ends in the name of a project, end it before that.'
    )


def whole_address(value: str, url: str | None) -> str | None:
    """What to write instead of an `index` that is an address; None if it is none. `url`: the base, if it is known."""
    if "://" not in value:
        return None
    scheme, _, rest = value.partition("://")
    host, _, path = rest.partition("/")
    address = f"{scheme.lower()}://{host.lower()}/{path.rstrip('/')}".rstrip("/") + "/"
    if url is not None and address.startswith(url):
        return f'must be the path below url, not a whole address: write index = "{address.removeprefix(url)}"'
    return f'must be the path below url, not a whole address, such as index = "{DEFAULT}"'


def _folders(path: str) -> list[str]:
    return [folder for folder in urlsplit(path).path.split("/") if folder]
