"""Serve or unpack a bundle where pullthrough is not installed. Needs nothing but Python 3.8 or later.

    python3 apply.py serve BUNDLE_OR_FOLDER [--host 127.0.0.1] [--port 8080]
    python3 apply.py unpack BUNDLE FOLDER

`unpack` takes a file only if it has the size and the sha256 of the manifest, and writes nothing outside of FOLDER. What
is there already and right is left as it is, so it may be interrupted and repeated, and a later part unpacked over it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.server
import json
import mimetypes
import os
import re
import shutil
import sys
import tarfile
import urllib.parse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

PIECE = 1 << 20  # bytes
MANIFEST = "MANIFEST.json"
LONGEST = 512 << 20  # bytes of a manifest
SLASH = re.compile("%2f", re.IGNORECASE)
UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


class WrongBundle(Exception):
    """The bundle is not what it should be. The text names the member."""


def sound(path: str) -> bool:
    """Whether a path names a file below a folder."""
    parts = path.split("/")
    return not UNSAFE.search(path) and not {"", ".", ".."} & set(parts)


def plain(path: str) -> str:
    """The path that an address names: apt asks a flat archive for `./demo.deb` of its folder, and for `//Packages`."""
    *folders, name = path.split("/")
    kept = [part for part in folders if part not in {"", "."}]
    return "/".join([*kept, "" if name == "." else name])


def members(archive: tarfile.TarFile) -> dict[str, Any]:
    """The manifest's members by path, read from the beginning of an open tar, in any order the tar has the rest."""
    first = archive.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > LONGEST:
        raise WrongBundle(f"it does not begin with {MANIFEST}: it is no bundle")
    manifest = json.load(contents(archive, first))
    if manifest["format"] != 1:
        raise WrongBundle(f"it has format {manifest['format']}; take the apply.py that is in it")
    return {member["path"]: member for member in manifest["members"]}


def contents(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    """The body of a member, to be read."""
    file = archive.extractfile(info)
    if file is None:
        raise WrongBundle(f"{info.name!r} is no plain file")
    return file


def regular(archive: tarfile.TarFile, listed: dict[str, Any]) -> Iterator[tarfile.TarInfo]:
    """Each member of the tar that the manifest has. Raises WrongBundle for any other, and if one is not there."""
    missing = {path for path, one in listed.items() if not one.get("elsewhere")}
    for info in archive:
        if info.name == MANIFEST or (info.isdir() and sound(info.name)):
            continue
        if not info.isreg() or not sound(info.name):
            raise WrongBundle(f"{info.name!r} is no plain file below the bundle's folder")
        if info.name not in listed or listed[info.name]["size"] != info.size:
            raise WrongBundle(f"{info.name!r} is not what {MANIFEST} says")
        missing.discard(info.name)
        yield info
    if missing:
        raise WrongBundle(f"it is cut off: {len(missing)} files are missing, such as {min(missing)!r}; copy it again")


def sha256_of(file: IO[bytes], into: IO[bytes] | None = None) -> str:
    """The sha256 of an open file, which is copied on the way."""
    digest = hashlib.sha256()
    while True:
        piece = file.read(PIECE)
        if not piece:
            return digest.hexdigest()
        digest.update(piece)
        if into is not None:
            into.write(piece)


def identity(path: Path) -> tuple[int, int]:
    """What tells files apart, however they are called: some file systems take `Demo` and `demo` for one name."""
    found = path.stat()
    return found.st_dev, found.st_ino


def unpack(bundle: str, to: str) -> tuple[int, int]:
    """Bring all files to their places. Gives how many there are, and how many of these were there."""
    folder = Path(to)
    folder.mkdir(parents=True, exist_ok=True)
    top = folder.resolve()
    count = there = 0
    brought: dict[tuple[int, int], str] = {}
    with tarfile.open(bundle, "r:") as archive:
        listed = members(archive)
        for info in regular(archive, listed):
            place = folder / info.name
            wanted = listed[info.name]["sha256"]
            count += 1
            place.parent.mkdir(parents=True, exist_ok=True)
            if top != place.parent.resolve() and top not in place.parent.resolve().parents:
                raise WrongBundle(f"{info.name!r} would lie outside of {folder}, behind a link")
            if place.is_file() and not place.is_symlink() and place.stat().st_size == info.size:
                with place.open("rb") as file:
                    if sha256_of(file) == wanted:
                        there += 1
                        brought[identity(place)] = info.name
                        continue
            if place.exists() and identity(place) in brought:
                other = brought[identity(place)]
                raise WrongBundle(
                    f"{other!r} and {info.name!r} are one file here: use a file system that tells them apart"
                )
            part = place.with_name(f".{hashlib.sha256(place.name.encode()).hexdigest()[:32]}.part")
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
            with part.open("xb") as file:
                if sha256_of(contents(archive, info), file) != wanted:
                    part.unlink()
                    raise WrongBundle(f"{info.name!r} is damaged: it does not have its sha256")
            os.utime(part, (info.mtime, info.mtime))
            part.replace(place)
            brought[identity(place)] = info.name
        absent = [path for path, one in listed.items() if one.get("elsewhere") and not (folder / path).is_file()]
        first = contents(archive, archive.getmember(MANIFEST))
        with (folder / MANIFEST).open("wb") as file:
            shutil.copyfileobj(first, file)
    if absent:
        shown = ", ".join(absent[:10])
        sys.stderr.write(f"apply.py: {len(absent)} files are in the bundle before this one: {shown}\n")
    return count, there


def literal(address: str) -> str:
    """An address in which an encoded slash is part of a name, as names of a bundle have it: `group%2Fproject`."""
    return SLASH.sub("%252F", address)


class FromFolder(http.server.SimpleHTTPRequestHandler):
    """Answers from a bundle that was unpacked."""

    def translate_path(self, path: str) -> str:
        """Where a file lies."""
        return super().translate_path(literal(path))


class FromTar(http.server.SimpleHTTPRequestHandler):
    """Answers from a tar that is not unpacked: files, ranges of them, and the pages of folders that have one."""

    protocol_version = "HTTP/1.1"

    def __init__(self, bundle: str, places: dict[str, tuple[int, int, int]], *arguments: Any) -> None:  # noqa: ANN401 - the server's
        self.bundle, self.places = bundle, places
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send the head of a file."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        """Send a file, or a part of it (RFC 9110, section 14)."""
        path = plain(urllib.parse.unquote(literal(self.path).partition("?")[0].partition("#")[0]))
        if path not in self.places and f"{path}/index.html" in self.places:
            self.send_response(301)
            self.send_header("Location", self.path.partition("?")[0] + "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        found = self.places.get(path) or self.places.get(f"{path}index.html" if path.endswith("/") or not path else "")
        if found is None:
            self.send_error(404, "The bundle has no such file")
            return
        start, size, time = found
        first, last = 0, size - 1
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if match and (match[1] or match[2]) and "If-Range" not in self.headers:
            first = int(match[1]) if match[1] else max(size - int(match[2]), 0)
            last = min(int(match[2]), size - 1) if match[1] and match[2] else size - 1
            if first > last:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        kind = mimetypes.guess_type(path)[0] if path and not path.endswith("/") else "text/html"
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Last-Modified", self.date_time_string(time))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if body:
            with open(self.bundle, "rb") as file:  # noqa: PTH123 - as old Pythons have it
                file.seek(start + first)
                left = last - first + 1
                while left > 0:
                    piece = file.read(min(left, PIECE))
                    if not piece:
                        self.close_connection = True
                        return
                    self.wfile.write(piece)
                    left -= len(piece)


def places_of(bundle: str) -> dict[str, tuple[int, int, int]]:
    """Where in the tar each file is: offset, size, time."""
    with tarfile.open(bundle, "r:") as archive:
        listed = members(archive)
        return {info.name: (info.offset_data, info.size, int(info.mtime)) for info in regular(archive, listed)}


def server_of(what: str, host: str, port: int) -> http.server.ThreadingHTTPServer:
    """A server of a bundle, or of the folder that it was unpacked to; started by its `serve_forever`."""
    if os.path.isdir(what):  # noqa: PTH112
        return http.server.ThreadingHTTPServer((host, port), partial(FromFolder, directory=what))
    return http.server.ThreadingHTTPServer((host, port), partial(FromTar, what, places_of(what)))


def serve(what: str, host: str, port: int) -> None:
    """Serve until interrupted."""
    with server_of(what, host, port) as server:
        address = f"http://{host}:{server.server_address[1]}"
        sys.stdout.write(
            f"Serving {what} at {address}/ until interrupted. For pip, uv and apt:\n"
            f"  pip install --index-url {address}/simple/ PROJECT\n"
            f"  uv pip install --default-index {address}/simple/ PROJECT\n"
            f"  deb [signed-by=KEYRING] {address}/apt/HOST/PATH SUITE COMPONENT\n"
        )
        sys.stdout.flush()
        server.serve_forever()


def main(arguments: list[str]) -> int:
    """Do what the arguments say. Gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", metavar="serve|unpack")
    verbs.required = True
    serving = verbs.add_parser("serve")
    serving.add_argument("what", metavar="BUNDLE_OR_FOLDER")
    serving.add_argument("--host", default="127.0.0.1")
    serving.add_argument("--port", default=8080, type=int)
    unpacking = verbs.add_parser("unpack")
    unpacking.add_argument("bundle", metavar="BUNDLE")
    unpacking.add_argument("folder", metavar="FOLDER")
    given = parser.parse_args(arguments)
    try:
        if given.verb == "serve":
            serve(given.what, given.host, given.port)
        else:
            count, there = unpack(given.bundle, given.folder)
            sys.stdout.write(f"{count} files are in {given.folder}; {there} of them were there.\n")
    except (WrongBundle, OSError, tarfile.TarError, ValueError, KeyError, TypeError, RecursionError) as error:
        named = getattr(given, "bundle", None) or given.what
        sys.stderr.write(f"apply.py: {named}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
