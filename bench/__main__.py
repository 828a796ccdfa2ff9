"""`python -m bench`: measure the servers side by side and write the document. The composition root of the bench."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import shlex
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import proxy
from bench import (
    apt,
    caches,
    cold,
    cold_page,
    fronts,
    hits,
    installs,
    locks,
    many_files,
    peers,
    report,
    spread,
    starting,
    summary,
    tails,
)
from bench.bed import FAILURES, FULL, QUICK, Bed
from bench.results import OURS, say
from bench.servers import RECIPES
from proxy import operating_system

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ROOT = Path(__file__).parent.parent
_BUILD = _ROOT / "build" / "bench"
_RESULTS = Path(__file__).parent / "RESULTS.md"
_README = _ROOT / "README.md"
_CASES: dict[str, Callable[[Bed], None]] = {
    "e": starting.start,
    "a": hits.large,
    "b": hits.small,
    "c": cold.alone,
    "d": cold.together,
    "f": apt.packages,
    "h": tails.slowest,
    "j": spread.many_of_a_kind,
    "i": many_files.start_and_hits,
    "l": cold_page.first_answer,
    "g": installs.first_and_second,
    "k": locks.lock,
}
_LOADED = frozenset("bfhj")  # cases that use wrk
_REAL = frozenset("gk")  # cases of real clients and PyPI
# Servers that take minutes where the others take seconds.
_SLOW = frozenset({"devpi"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench. Gives 0 when it ran to its end, whatever it measured, and 1 when it could not run."""
    options = _options(arguments)
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # An installed program has its bytecode beside it from the first start on, as the peers do.
    compileall.compile_dir(Path(proxy.__file__).parent, quiet=1)
    cases = [case for case in _CASES if case in options.only]
    names = [name for name in options.servers if not (options.skip_slow and name in _SLOW)]
    scale = QUICK if options.quick else FULL
    if options.patience:
        scale = replace(scale, patience=options.patience)
    whole = not options.quick and len(cases) == len(_CASES) and names == list(RECIPES)
    output = options.output or (_RESULTS if whole else _BUILD / "partial.md")
    try:
        if _LOADED & set(cases):
            peers.require_tools()
        if "f" in cases:
            peers.require("apt-utils", "apt-ftparchive")
        if {"f", "h"} & set(cases):
            peers.require_nginx()
    except peers.PeerError as error:
        say(f"error: {error}")
        return 1
    _BUILD.mkdir(parents=True, exist_ok=True)
    missing = _missing(_taking_part(cases, names))
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=_BUILD))
    # nginx drops its privileges for a user that may have to pass through.
    folder.chmod(0o755)
    begin = time.monotonic()
    try:
        bed = Bed(folder, _BUILD, scale, names, missing)
        for case in cases:
            began = time.monotonic()
            try:
                _CASES[case](bed)
            except (*FAILURES, RuntimeError) as error:
                # What was measured before, and what comes after, is not lost for it.
                bed.results.leave_out(case, str(error) or type(error).__name__)
            bed.results.durations[case] = time.monotonic() - began
            say(f"({case}) took {bed.results.durations[case]:.0f} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"measured in {time.monotonic() - begin:.0f} s")
    setting = report.Setting(
        command="make bench" if whole else shlex.join(["python", "-m", "bench", *(arguments or sys.argv[1:])]),
        machine=_machine(),
        versions=peers.versions(_taking_part(cases, names), _BUILD / "peers"),
    )
    text = report.render(bed.results, cases="".join(sorted(cases)), servers=names, scale=scale, setting=setting)
    output.write_text(text, encoding="utf-8")
    say(f"written to {output}")
    if whole:
        _README.write_text(summary.placed(_README.read_text("utf-8"), summary.summary(bed.results)), encoding="utf-8")
        say(f"and its summary to {_README}")
    if options.json:
        options.json.write_text(json.dumps(bed.results.as_json(), indent=1) + "\n", encoding="utf-8")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", type=_list(tuple(_CASES)), default=tuple(_CASES), help=f"cases: {','.join(sorted(_CASES))}"
    )
    parser.add_argument("--servers", type=_list(tuple(RECIPES)), default=list(RECIPES), help=",".join(RECIPES))
    parser.add_argument("--quick", action="store_true", help="small files, short windows, no repetition")
    parser.add_argument("--skip-slow", action="store_true", help=f"leave out {', '.join(sorted(_SLOW))}")
    parser.add_argument("--patience", type=float, help=f"seconds that a crowd may take; else {FULL.patience:g}")
    parser.add_argument("--output", type=Path, help="the document; a partial run writes build/bench/partial.md")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    return parser.parse_args(arguments)


def _list(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        given = text.split(",")
        if unknown := [name for name in given if name not in known]:
            message = f"{', '.join(unknown)}: choose from {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
        return [name for name in known if name in given]

    return split


def _taking_part(cases: Sequence[str], names: Sequence[str]) -> list[str]:
    """The programs that these cases need, those of the given names and those that a case always has."""
    chosen = set(cases)
    parts = [
        *(names if chosen & set("abcde") else [OURS]),
        *(["nginx"] if "h" in chosen else []),
        *(caches.CACHES if "f" in chosen else []),
        *((*fronts.FRONTS, *installs.CLIENTS) if chosen & _REAL else []),
    ]
    return list(dict.fromkeys(parts))


def _missing(names: Sequence[str]) -> dict[str, str]:
    """Install what can be installed; why the others are missing."""
    steps: dict[str, Callable[[], None]] = {
        "nginx": peers.require_nginx,
        "devpi": lambda: peers.install("devpi-server", _BUILD / "peers"),
        "proxpi": lambda: peers.install("proxpi", _BUILD / "peers"),
        "pip": lambda: peers.install(peers.CLIENTS, _BUILD / "peers"),
        caches.ACNG: lambda: peers.require(caches.ACNG, "/usr/sbin/apt-cacher-ng"),
        caches.SQUID: lambda: peers.require(caches.SQUID, "squid"),
    }
    missing = {}
    for name in names:
        try:
            steps.get(name, lambda: None)()
        except peers.PeerError as error:
            missing[name] = str(error)
            say(f"{name}: {error}")
    return missing


def _machine() -> str:
    cores = operating_system.cpus()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{cores} cores, {memory:.0f} GiB, {platform.system()} {kernel}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
