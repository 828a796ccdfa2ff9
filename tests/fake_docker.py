"""A command `docker` that answers what a test wants: a program in a folder, which also notes how it was called.

A rule answers all calls whose arguments begin with its words; the last one that fits counts. A rule for a build may
hand out files, as BuildKit's local exporter does. A call is noted with the texts of the secret files that it got.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROGRAM = """#!{python} -SE
import json, os, signal, sys, time
folder = {folder!r}
arguments = sys.argv[1:]
call = {{"arguments": arguments, "environ": dict(os.environ), "cwd": os.getcwd(), "secrets": {{}}, "modes": {{}}}}
for one in arguments:
    fields = dict(part.split("=", 1) for part in one.split(",") if "=" in part)
    if "src" in fields and "id" in fields:
        with open(fields["src"]) as file:
            call["secrets"][fields["id"]] = file.read()
        call["modes"][fields["id"]] = oct(os.stat(fields["src"]).st_mode & 0o777)
dockerfile = os.path.join(arguments[-1], "Dockerfile") if arguments else ""
if os.path.isfile(dockerfile):
    with open(dockerfile) as file:
        call["dockerfile"] = file.read()
with open(os.path.join(folder, "rules.json")) as file:
    rules = json.load(file)
rule = next((rule for rule in reversed(rules) if arguments[:len(rule["words"])] == rule["words"]), {{}})
with open(os.path.join(folder, "calls.jsonl"), "a") as file:
    file.write(json.dumps(call) + "\\n")
for one in arguments:
    if one.startswith("type=local,dest="):
        target = one.partition("dest=")[2]
        os.makedirs(target)
        for name, text in rule.get("exports", {{}}).items():
            with open(os.path.join(target, name), "w") as file:
                file.write(text)
for address in rule.get("fetches", ()):
    import urllib.request
    urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(address).read()
sys.stdout.write(rule.get("stdout", ""))
sys.stderr.write(rule.get("stderr", "" if rule else "docker: no rule for " + " ".join(arguments)))
sys.stdout.flush(), sys.stderr.flush()
if rule.get("waits"):
    ended = []
    signal.signal(signal.SIGINT, lambda number, frame: ended.append(number))
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    with open(os.path.join(folder, "starting"), "w") as file:
        file.write(str(os.getpid()))
    os.rename(os.path.join(folder, "starting"), os.path.join(folder, "waiting"))
    while not ended:
        time.sleep(0.01)
    sys.exit(rule.get("status", 1))
sys.exit(rule.get("status", 0 if rule else 1))
"""
CLIENT = {"Version": "20.10.24", "ApiVersion": "1.41", "DefaultAPIVersion": "1.41"}


@dataclass(frozen=True, slots=True)
class FakeDocker:
    """`folder` is the one to put on the PATH."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> FakeDocker:
        """A docker 20.10 without plugins, whose builds are done at once."""
        folder.mkdir()
        program = folder / "docker"
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)), encoding="utf-8")
        program.chmod(0o755)
        (folder / "rules.json").write_text("[]", encoding="utf-8")
        (folder / "calls.jsonl").touch()
        made = cls(folder)
        made.rule("version", stdout=json.dumps(CLIENT) + "\n")
        made.rule("buildx", stderr="docker: 'buildx' is not a docker command.\n", status=1)
        made.rule("build", stderr="#1 DONE\n")
        return made

    @property
    def waiting(self) -> Path:
        """A file that is there as soon as a rule with `waits` waits; it has the number of the process."""
        return self.folder / "waiting"

    def rule(self, *words: str, **answer: Any) -> None:
        """Have it answer so: `stdout`, `stderr`, `status`, `exports` (files by name), `fetches`, `waits`."""
        path = self.folder / "rules.json"
        rules = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps([*rules, {"words": words, **answer}]), encoding="utf-8")

    def with_buildx(self, version: str = "29.0.0", **builders: str) -> None:
        """A newer docker with the plugin; `builders`: what `inspect` says of each."""
        self.rule("version", stdout=json.dumps({**CLIENT, "Version": version, "DefaultAPIVersion": "1.52"}) + "\n")
        self.rule("buildx", stderr="ERROR: no builder found\n", status=1)
        self.rule("buildx", "version", stdout="github.com/docker/buildx v0.30.1 9e66234a\n")
        for name, text in builders.items():
            self.rule("buildx", "inspect", name.replace("_", "-"), stdout=text)

    def calls(self, *words: str) -> list[dict[str, Any]]:
        """The calls so far whose arguments begin with these words."""
        lines = (self.folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
        return [call for call in map(json.loads, lines) if call["arguments"][: len(words)] == list(words)]
