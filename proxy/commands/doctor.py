"""`pullthrough doctor`: a line for each thing that a build through the cache needs, and the command that mends it.

Called by `cli`. Lines go to standard output as they come; `--json` prints all of them at the end. The exit status is 1
if something is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from proxy.builds.build_options import CACHED_FILE
from proxy.builds.diagnosis import Patient, diagnose
from proxy.builds.findings import Finding, Health
from proxy.commands import output
from proxy.commands.build import BuildFlags, cache_place
from proxy.commands.endings import ended
from proxy.config.settings import Settings
from proxy.errors import WrongUsage

_STYLES = {Health.OK: "green", Health.DOUBTFUL: "yellow", Health.WRONG: "bold red", Health.SKIPPED: "dim"}


@dataclass(frozen=True, slots=True)
class DoctorFlags:
    """The verb's own options. `file`: a Dockerfile; `project`: one of the index; the others as those of `build`."""

    settings: Settings
    json: bool = False
    cache: str | None = None
    index: str | None = None
    file: str | None = None
    builder: str | None = None
    project: str = "six"


def doctor(flags: DoctorFlags, environ: Mapping[str, str], cwd: Path) -> int:
    """Look at everything. Gives the exit status: 1 if something is wrong, 2 for wrong usage."""

    def work() -> int:
        place = cache_place(BuildFlags(flags.settings, flags.json, flags.cache, flags.index), environ)
        file = dockerfile(flags.file, cwd)
        patient = Patient(place, flags.settings.data, environ, cwd, file, flags.builder, flags.project)
        findings = list(_shown(diagnose(patient), quiet=flags.json))
        if flags.json:
            rows = [
                {"subject": one.subject, "health": one.health.value, "text": one.text, "remedy": one.remedy}
                for one in findings
            ]
            sys.stdout.write(output.json_text(rows))
        return int(any(one.health is Health.WRONG for one in findings))

    return ended(work)


def dockerfile(given: str | None, cwd: Path) -> Path | None:
    """The Dockerfile to look at: the one that is named, else what `build` would build here. Raises WrongUsage."""
    if given is not None:
        path = cwd / given
        if not path.is_file():
            raise WrongUsage(f"-f {given}: there is no such file")
        return path
    return next((path for name in (CACHED_FILE, "Dockerfile") if (path := cwd / name).is_file()), None)


def _shown(findings: Iterator[Finding], *, quiet: bool) -> Iterator[Finding]:
    """The findings, each printed as it comes."""
    where = output.console()
    for one in findings:
        if not quiet:
            show(one, where)
        yield one


def show(finding: Finding, where: Console) -> None:
    """Print a finding, and below it what mends it."""
    state = Text(f"{finding.health.value:<6}", _STYLES[finding.health])
    where.print(state + output.plain(f"{finding.subject}: {finding.text}"), soft_wrap=True)
    if finding.remedy:
        output.lines(where.file, [f"      → {finding.remedy}"])
