"""The proof that a build reaches the cache: a build with one tiny RUN, which asks for the cache's metrics.

It runs with the builder that will build, and on an image that the Dockerfile is based on, so nothing new is pulled.
What answers has to be this very cache: another program may have the port (3142 is apt-cacher-ng's, too). Called by
`reach`.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.builds.candidates import GATEWAY_ALIAS, Candidate
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine_trouble import version_trouble

_WAIT = 300  # seconds: the base image may have to be pulled
_ALIAS = "pullthrough-gateway"
_IMAGE = re.compile(r"[A-Za-z0-9][\w./:@-]*")

# For sh of Debian, Alpine and busybox. `fetch HOST PORT` prints the metrics, by the first thing of the image that gets
# them: each way gives up after three seconds and passes by all proxies. `literal NAME` prints the address of a name.
_SCRIPT = r"""
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
has() { command -v "$1" >/dev/null 2>&1; }
by() {
  way=$1 url="http://$2:$3/metrics" get="GET /metrics HTTP/1.0\r\n\r\n"
  case $way in
    curl) curl -s -m 3 "$url" ;;
    wget) wget -q -t 1 -T 3 -O - "$url" ;;
    python3)
      python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=3).read().decode())' "$url" ;;
    /usr/lib/apt/apt-helper)
      rm -f /probe.txt
      "$way" -o Acquire::http::Proxy=DIRECT -o Acquire::Retries=0 -o Acquire::http::Timeout=3 \
        download-file "$url" /probe.txt >/dev/null && cat /probe.txt ;;
    nc) printf "$get" | nc -w 3 "$2" "$3" ;;
    bash) timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"; printf "$2" >&3; cat <&3' "$2" "$3" "$get" ;;
    perl) perl -MIO::Socket::INET -e 'alarm 3; $s = IO::Socket::INET->new("$ARGV[0]:$ARGV[1]") or exit 1;
      print $s "GET /metrics HTTP/1.0\r\n\r\n"; print while <$s>' "$2" "$3" ;;
  esac 2>/dev/null | sed -n 's/\r$//; s/^pullthrough_start_time_seconds //p'
}
fetch() {
  none=yes
  for client in curl wget python3 /usr/lib/apt/apt-helper nc bash perl; do
    has "$client" || continue
    none= found=$(by "$client" "$1" "$2")
    [ -z "$found" ] || { echo "$found"; return; }
  done
  [ -z "$none" ] || : >/probe/no-client
}
literal() {
  case $1 in *[!0-9.]*) ;; *) echo "$1"; return ;; esac
  while read -r address names; do
    for name in $names; do [ "$name" != "$1" ] || { echo "$address"; return; }; done
  done </etc/hosts
  if has getent; then set -- $(getent ahostsv4 "$1"); echo "$1"
  elif has python3; then python3 -c 'import sys, socket; print(socket.gethostbyname(sys.argv[1]))' "$1"
  elif has nslookup; then nslookup "$1" | sed -n 's/^Address[ 0-9]*: *\([0-9.]*\)$/\1/p' | tail -1
  fi 2>/dev/null
}
mkdir -p /probe
for place in $PLACES; do
  host=${place%:*} port=${place##*:}
  address=$(literal "$host")
  [ -n "$address" ] || continue
  started=$(fetch "$address" "$port")
  [ -n "$started" ] || continue
  case $STARTED in
    ''|"$started") echo "$place $address" >/probe/answer; break ;;
    *) echo "$place" >>/probe/other ;;
  esac
done
:
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a probe found. `address` is the literal one by which a build reaches the cache, None if by none.

    `problem`: why nothing is proved, where the probe itself failed; else empty.
    """

    address: Candidate | None
    candidate: Candidate | None = None
    problem: str = ""
    other: tuple[str, ...] = ()  # places where another cache answered


@dataclass(frozen=True, slots=True)
class Ground:
    """What a probe is built on. `base`: an image with a shell, and one of curl, wget, python3, apt, bash, perl.

    `builder` and `platform`: as the options of `docker build`; None: the default. `triggers`: whether the image has
    instructions of ONBUILD, which want the files of a project; None: not known.
    """

    base: str
    builder: str | None = None
    platform: str | None = None
    triggers: bool | None = None


def prove(command: DockerCommand, candidates: Sequence[Candidate], ground: Ground, started: str) -> Proof:
    """Try the candidates in their order from inside a build, and take the first where the right cache answers.

    `started`: the cache's `pullthrough_start_time_seconds` as text; empty: any cache is right. Raises EngineTrouble if
    `docker` cannot be run.
    """
    if not candidates:
        return Proof(None)
    if not _IMAGE.fullmatch(ground.base):
        return Proof(None, problem=f"{ground.base} is not the name of an image.")
    begin = _copied(ground.base) if ground.triggers else _begun(ground.base)
    proof = _run(command, candidates, ground, started, begin)
    literal = [one for one in candidates if one.host != GATEWAY_ALIAS]
    if proof.problem and 0 < len(literal) < len(candidates):  # some engines and builders refuse the alias
        candidates, proof = literal, _run(command, literal, ground, started, begin)
    if proof.problem and ground.triggers is None:  # only the builder has the image: its triggers may have failed
        copied = _run(command, candidates, ground, started, _copied(ground.base))
        return proof if copied.problem else copied
    return proof


def _begun(base: str) -> str:
    return f"FROM {base} AS probe\n"


def _copied(base: str) -> str:
    """The same files, without the image's instructions of ONBUILD: a copy runs none."""
    return f"FROM scratch AS probe\nCOPY --from={base} / /\n"


def _run(command: DockerCommand, candidates: Sequence[Candidate], ground: Ground, started: str, begin: str) -> Proof:
    aliased = any(one.host == GATEWAY_ALIAS for one in candidates)
    places = {str(Candidate(_ALIAS, one.port) if one.host == GATEWAY_ALIAS else one): one for one in candidates}
    values = f"PLACES={shlex.quote(' '.join(places))} STARTED={shlex.quote(started)}"
    dockerfile = (
        f"{begin}USER 0:0\nRUN {json.dumps(['/bin/sh', '-c', f'{values}{_SCRIPT}'])}\n"
        "FROM scratch\nCOPY --from=probe /probe/ /\n"
    )
    above = command.own_folder
    if above is not None:
        above.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pullthrough-probe-", dir=above) as folder:
        context, found = Path(folder, "context"), Path(folder, "found")
        context.mkdir()
        (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        arguments = ["build", "--no-cache", "--progress=plain", "--output", f"type=local,dest={found}"]
        arguments += ["--add-host", f"{_ALIAS}:{GATEWAY_ALIAS}"] if aliased else []
        arguments += ["--builder", ground.builder] if ground.builder else []
        arguments += ["--platform", ground.platform] if ground.platform else []
        result = command.ask(*arguments, str(context), wait=_WAIT)
        if result.returncode:
            lines = result.stderr.strip().splitlines()
            reason = lines[-1].rpartition("]: ")[2] if lines else ""  # without the RUN, which stands before it
            return Proof(None, problem=version_trouble(result.stderr) or reason[-500:] or f"status {result.returncode}")
        return _read(found, places)


def _read(found: Path, places: dict[str, Candidate]) -> Proof:
    other = tuple(_lines(found / "other"))
    for line in _lines(found / "answer"):
        place, _, address = line.partition(" ")
        candidate = places[place]
        return Proof(Candidate(address, candidate.port), candidate, other=other)
    if (found / "no-client").exists():
        return Proof(None, problem="the image has neither curl, wget, python3, apt, bash nor perl to ask with.")
    return Proof(None, other=other)


def _lines(path: Path) -> Sequence[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
