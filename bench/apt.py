"""Case (f): apt through caches for apt: update and download of a fixed set, a crowd, hits of a small package."""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench import archive
from bench.caches import CACHES, Cache
from bench.client import ClientError
from bench.load import wrk
from bench.results import DIRECT, Row
from tests.e2e.apt import AptRoot

if TYPE_CHECKING:
    from bench.archive import Mirror, Packages
    from bench.bed import Bed

CROWD = 64
CONNECTIONS = 16
_CROWD_SET = 20  # packages that each of the crowd fetches


def packages(bed: Bed) -> None:
    """(f) Seconds of `apt-get update` and `install --download-only`, cold and warm; errors of a crowd; requests/s."""
    made = archive.make(bed.folder / "archive")
    for pace in archive.PACES:
        with archive.Mirror(made, pace, bed.number("mirror")) as mirror:
            near, repetitions = pace == archive.PACES[0], bed.scale.repetitions
            for turn in range(bed.scale.brief if near else repetitions):
                for name in (DIRECT, *CACHES):
                    _turn(bed, made, mirror, pace, name, busy=near and turn < repetitions)


def _turn(  # noqa: PLR0913 what is measured
    bed: Bed, made: Packages, mirror: Mirror, pace: str, name: str, *, busy: bool
) -> None:
    """One repetition: cold, warm, and if it is a `busy` one the crowd and the small package too."""
    row = Row("f", f"cold, {pace}", name)
    if name == DIRECT:
        bed.results.add(row, seconds=_install(mirror, None, made.names))
        return
    with bed.failing(row):
        if name in bed.missing:
            raise ClientError(bed.missing[name])
        with Cache(name, bed.number(name), mirror.host) as cache:
            bed.results.add(row, seconds=_install(mirror, cache, made.names))
            bed.rest()
            warm = Row("f", f"warm, {pace}", name)
            with bed.failing(warm):
                bed.results.add(warm, seconds=_install(mirror, cache, made.names))
            if busy:
                _crowd(bed, mirror, cache, made, name)
                _hits(bed, mirror, cache, made, name)


def _crowd(bed: Bed, mirror: Mirror, cache: Cache, made: Packages, name: str) -> None:
    row = Row("f", f"{CROWD} clients at once", name)

    def one(_: int) -> str:
        try:
            _install(mirror, cache, made.names[:_CROWD_SET])
        except ClientError as error:
            return str(error)
        return ""

    with bed.failing(row), ThreadPoolExecutor(CROWD) as pool:
        begin = time.perf_counter()
        errors = [error for error in pool.map(one, range(CROWD)) if error]
        bed.results.add(row, seconds=time.perf_counter() - begin, errors=len(errors))
        if errors:
            bed.results.note(row, f"{len(errors)} of {CROWD} clients: {errors[0]}")


def _hits(bed: Bed, mirror: Mirror, cache: Cache, made: Packages, name: str) -> None:
    row = Row("f", f"50 KiB package, {CONNECTIONS} connections", name)
    with bed.failing(row):
        target = f"http://{mirror.host}{made.small}"
        seen = wrk(cache.url, connections=CONNECTIONS, seconds=bed.scale.wrk, target=target)
        if seen.errors or not seen.rate:
            raise ClientError(f"{seen.errors} answers failed" if seen.errors else "no answer in time")
        bed.results.add(row, rate=seen.rate)


def _install(mirror: Mirror, cache: Cache | None, names: tuple[str, ...]) -> float:
    """What a new image does; gives the seconds. Raises ClientError with apt's last word."""
    folder = Path(tempfile.mkdtemp(prefix="apt-"))
    try:
        options = ['Acquire::http::Proxy "DIRECT";' if cache is None else f'Acquire::http::Proxy "{cache.url}/";']
        root = AptRoot(folder, [mirror.source], options)
        begin = time.perf_counter()
        for ran in (root.update, lambda: root.download(*names)):
            if (done := ran()).status:
                raise ClientError((done.complaints or ["apt-get failed"])[-1])
        seconds = time.perf_counter() - begin
        if (arrived := len(list(root.archives.glob("*.deb")))) != len(names):
            raise ClientError(f"{arrived} of {len(names)} packages arrived")
        return seconds
    finally:
        shutil.rmtree(folder, ignore_errors=True)
