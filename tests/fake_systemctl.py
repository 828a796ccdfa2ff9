"""A program `systemctl` that really starts and stops what a unit says, and records its calls.

It knows what `setup` uses: daemon-reload, enable, restart, disable --now. Words of a unit are read as systemd.syntax(7)
has them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = """#!{python} -SE
import json, os, shlex, signal, subprocess, sys, time
folder, units = {folder!r}, {units!r}
arguments = [one for one in sys.argv[1:] if one != "--user"]
with open(os.path.join(folder, "calls.jsonl"), "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
pid, ended = os.path.join(folder, "pid"), os.path.join(folder, "ended")

def stop():
    if os.path.exists(pid):
        os.kill(int(open(pid).read()), signal.SIGTERM)
        while not os.path.exists(ended):
            time.sleep(0.01)
        os.unlink(pid), os.unlink(ended)

def start(name):
    fields = {{}}
    with open(os.path.join(units, name)) as file:
        for line in file:
            key, equals, value = line.strip().partition("=")
            if equals:
                fields.setdefault(key, []).append(shlex.split(value.replace("%%", "%")))
    command = [word.replace("$$", "$") for word in fields["ExecStart"][0]]
    environ = dict(word.split("=", 1) for words in fields.get("Environment", []) for word in words)
    if os.fork():
        while not os.path.exists(pid):
            time.sleep(0.01)
        return
    os.setsid()
    with open(os.path.join(folder, "log"), "ab") as log, open(os.devnull, "r+b") as null:
        os.dup2(null.fileno(), 1), os.dup2(null.fileno(), 2)
        process = subprocess.Popen(command, env=environ, stdin=null, stdout=log, stderr=log)
    with open(pid + ".new", "w") as file:
        file.write(str(process.pid))
    os.rename(pid + ".new", pid)
    process.wait()
    open(ended, "w").close()
    os._exit(0)

if os.path.exists(os.path.join(folder, "refuses")):
    sys.exit("Failed to connect to bus: No medium found")
if arguments[0] in ("restart", "disable"):
    stop()
if arguments[0] == "restart":
    start(arguments[1])
"""


@dataclass(frozen=True, slots=True)
class FakeSystemctl:
    """`folder` is the one to put on the PATH."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, units: Path) -> FakeSystemctl:
        """One that finds its units in the folder `units`."""
        folder.mkdir()
        program = folder / "systemctl"
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder), units=str(units)), "utf-8")
        program.chmod(0o755)
        (folder / "calls.jsonl").touch()
        return cls(folder)

    def refuse(self) -> None:
        """Have each call fail from now on."""
        (self.folder / "refuses").touch()

    def running(self) -> bool:
        """Whether the unit's process runs."""
        return (self.folder / "pid").exists()

    def calls(self) -> list[list[str]]:
        """The arguments of all calls so far."""
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text("utf-8").splitlines()]
