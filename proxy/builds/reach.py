"""The address by which a builder reaches the cache: proved once, remembered, proved again when it may have changed.

What is remembered is a file of this user: by builder and cache, the address that a build found. It is believed while
the same address would be tried today; where it is one of this machine, the cache has to answer there. Called by
`build`, `doctor` and `setup`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.builds import probe
from proxy.builds.builders import Builder
from proxy.builds.candidates import Candidate, Surroundings, advice, candidates
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine import Engine
from proxy.builds.probe import Ground
from proxy.builds.running_cache import RunningCache, answers_at, own_addresses

_FILE = "builders.json"


@dataclass(frozen=True, slots=True)
class Reach:
    """How builds reach the cache. `address` is None where they do not; then `problem` says why and what to do."""

    address: Candidate | None
    problem: str = ""
    remembered: bool = False


class RememberedAddresses:
    """The file of remembered addresses. A file that cannot be read or written is as good as none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> RememberedAddresses:
        """In the user's folder for state: `pullthrough/builders.json` in `$XDG_STATE_HOME`, else `~/.local/state`."""
        home = Path(environ.get("HOME") or tempfile.gettempdir())
        if sys.platform == "darwin":
            folder = home / "Library/Application Support"
        else:
            folder = Path(environ.get("XDG_STATE_HOME") or home / ".local/state")
        return cls(folder / "pullthrough" / _FILE)

    def find(self, key: str) -> tuple[Candidate, Candidate] | None:
        """The candidate that was right and the literal address that it had."""
        row: Any = self._read().get(key)
        with contextlib.suppress(TypeError, ValueError, KeyError):
            return Candidate(str(row["host"]), int(row["port"])), Candidate(str(row["address"]), int(row["port"]))
        return None

    def put(self, key: str, candidate: Candidate, address: Candidate) -> None:
        """Remember what was proved."""
        self._write({**self._read(), key: {"host": candidate.host, "port": candidate.port, "address": address.host}})

    def forget(self, key: str) -> None:
        """The next build proves anew."""
        rows = self._read()
        if rows.pop(key, None) is not None:
            self._write(rows)

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            rows = json.loads(self.path.read_bytes())
            return rows if isinstance(rows, dict) else {}
        return {}

    def _write(self, rows: Mapping[str, Any]) -> None:
        fresh = self.path.with_name(f"{_FILE}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            fresh.replace(self.path)


def surroundings(engine: Engine | None, cache: RunningCache) -> Surroundings:
    """What is known of this machine. Raises EngineTrouble."""
    return Surroundings(
        desktop=engine is not None and engine.facts.desktop,
        rootless=engine is not None and engine.facts.rootless,
        gateway=engine.bridge_gateway() if engine is not None and engine.facts.near else None,
        own_addresses=own_addresses(),
        container=cache.container,
    )


@dataclass(frozen=True, slots=True)
class Reacher:
    """Finds the address by which builds of one builder reach one cache. `engine`: the engine's address."""

    command: DockerCommand
    builder: Builder
    cache: RunningCache
    around: Surroundings
    memory: RememberedAddresses
    engine: str = ""

    @property
    def key(self) -> str:
        """What a remembered address is an address for."""
        return f"{self.builder.driver} {self.builder.name} {self.builder.endpoint or self.engine} {self.cache.port}"

    def remembered(self, named: Candidate | None = None) -> Reach | None:
        """What was proved before, if it can still be right. `named`: the one address that a person allows."""
        found = self.memory.find(self.key)
        if found is None or found[0] not in self._tried(named) or not self._still(found[1]):
            return None
        return Reach(found[1], remembered=True)

    def prove(self, ground: Ground | None, named: Candidate | None = None) -> Reach:
        """Prove it by a build, which takes some seconds, and remember it. Raises EngineTrouble.

        `ground`: what to try it on; None: there is no image for it.
        """
        if ground is None:
            return Reach(None, "the Dockerfile names no image on which it can be tried whether builds reach the cache.")
        tried = self._tried(named)
        proof = probe.prove(self.command, tried, ground, self.cache.started)
        if proof.address is not None and proof.candidate is not None:
            self.memory.put(self.key, proof.candidate, proof.address)
            return Reach(proof.address)
        self.memory.forget(self.key)
        if proof.problem:
            return Reach(None, f"it could not be tried on {ground.base} if builds reach the cache: {proof.problem}")
        if proof.other:
            places = ", ".join(proof.other)
            return Reach(None, f"at {places} builds reach another cache than this machine does. Stop one of them.")
        if named is not None:
            who = f"the builder {self.builder.name} (driver {self.builder.driver})"
            where = f"builds of {who} reach no cache at {named}."
            return Reach(None, f"{where} Check the address, and that the cache listens there (--host).")
        return Reach(None, advice(self.builder, self.around, tried, self.cache.heard_on))

    def _tried(self, named: Candidate | None) -> tuple[Candidate, ...]:
        return (named,) if named else candidates(self.builder, self.around, self.cache.port)

    def _still(self, address: Candidate) -> bool:
        """Whether a remembered address can still be right, as far as this machine can tell without a build."""
        if address.host in {self.around.gateway, *self.around.own_addresses} and not self.around.desktop:
            return answers_at(address.host, address.port) == self.cache.started
        return True
