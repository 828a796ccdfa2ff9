"""The caches that real clients ask in cases (g) and (k): each before the public index, with a folder that it keeps."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

from bench import nginx
from bench.processes import Process, Stoppable
from bench.public_index import SIMPLE
from bench.results import OURS
from bench.servers import Place, environment, free_port, listening, proxpi_command, proxpi_environment
from tests import scrape

FRONTS = (OURS, "nginx", "proxpi")
_FORESEEN = "pullthrough_foreseen_bytes_total"


class Front(Stoppable):
    """A running cache; `index` is what its clients are given. Started again on the same folder, it has what it had.

    Also its port, as a cache that is restarted has: its pages may have whole addresses.

    Use as a context manager. Raises ServerError.
    """

    def __init__(self, name: str, folder: Path, origin: str, peers: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = folder / "port"
        if not port.exists():
            port.write_text(str(free_port()), encoding="ascii")
        place = Place(folder, int(port.read_text("ascii")), origin, peers)
        self._base = f"http://127.0.0.1:{place.port}"
        self.index = self._base + {OURS: f"/pypi{SIMPLE}", "nginx": SIMPLE, "proxpi": "/index/"}[name]
        own = {}
        match name:
            case "nginx":
                nginx.prepare_whole(folder, place.port, origin, SIMPLE)
                command = nginx.command(folder)
            case "proxpi":
                command, own = proxpi_command(place), proxpi_environment(place, SIMPLE)
            case _:
                command = _ours(place)
        self.process = Process(command, log=folder / "log", env=environment(**own))
        try:
            listening(self.process, place.port)
        except BaseException:
            self.process.stop()
            raise

    def foreseen(self, outcome: str) -> float:
        """Bytes that pullthrough fetched before a client asked, by what became of them."""
        with urllib.request.urlopen(f"{self._base}/metrics", timeout=10) as answer:
            return scrape.value(answer.read().decode(), _FORESEEN, outcome=outcome)

    def stop(self) -> None:
        """End it."""
        self.process.stop()


def _ours(place: Place) -> list[str]:
    settings = place.folder / "pullthrough.toml"
    # Files are below the mount, and not at `~files/127.0.0.1:3142/`: pip reads a link with `:` in its path slowly, and
    # those of a cache before PyPI itself have none.
    lines = ["[[upstream]]", 'mount = "pypi"', f'url = "{place.origin}/"', f'index = "{SIMPLE[1:]}"']
    settings.write_text("\n".join(lines), encoding="utf-8")
    program = str(Path(sys.executable).with_name("pullthrough"))
    return [program, "serve", f"--config={settings}", f"--port={place.port}", f"--data={place.folder / 'data'}"]
