"""How far a request walks through the code: `python -m tests.walks` prints it for the usual requests.

A stay is a stretch of time within one module; a step leads from one stay to the next, forward by a call or back by a
return. Long walks with many returns are hard to follow for a reader. A coroutine that waits counts as one that returns.
Threads are not counted.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import proxy
from proxy import app
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from tests.archive import Archive, Deb
from tests.bodies import Plain
from tests.origin import Origin
from tests.wheels import wheel

_ROOT = str(Path(proxy.__file__).parent)


class Walk:
    """Counts the stays of what runs while it is begun. Mutable state: the stays, and how many steps were returns."""

    def __init__(self) -> None:
        self.stays: list[str] = []
        self.returns = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """For `sys.setprofile`."""
        where: FrameType | None = frame
        if event == "return":
            where = frame.f_back
        elif event != "call":
            return
        while where is not None and not where.f_code.co_filename.startswith(_ROOT):
            where = where.f_back
        if where is None:
            return
        module = where.f_code.co_filename.removeprefix(_ROOT).strip("/")
        if not self.stays or self.stays[-1] != module:
            self.stays.append(module)
            self.returns += event == "return"

    @property
    def rooms(self) -> int:
        """How many modules it came through."""
        return len(set(self.stays))


async def _walked(url: str, target: str, *headers: str) -> Walk:
    """The walk of one GET."""
    port = int(url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.2)
    walk = Walk()
    sys.setprofile(walk)
    lines = "".join(f"{line}\r\n" for line in headers)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: cache\r\nConnection: close\r\n{lines}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.read()
    sys.setprofile(None)
    writer.close()
    assert b" 200 " in head.partition(b"\r\n")[0], head
    return walk


async def main(show: Callable[[str], None]) -> None:
    """Walk, and show the figures."""
    show(f"{'request':34} {'stays':>6} {'returns':>8} {'modules':>8}")
    async with Origin() as origin:
        package = wheel("demo", padding=5000)
        origin.publish(package)
        archive = Archive(origin)
        deb = Deb("demo", Plain(b"!<arch>\n" + bytes(5000)))
        archive.show(archive.state(deb))
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(
                port=0,
                data=Path(folder),
                upstreams=(UpstreamSettings(mount="pypi", url=origin.url),),
                apt={"hosts": [f"127.0.0.1:{origin.port}"]},
            )
            running = await app.start(settings)
            host = f"/127.0.0.1:{origin.port}"
            for name, target in (
                ("index page", "/pypi/simple/demo/"),
                ("wheel", f"/pypi/packages/{package.filename}"),
                ("metadata", f"/pypi/packages/{package.filename}.metadata"),
                ("InRelease", f"{host}/debian/dists/stable/InRelease"),
                ("Packages.gz", f"{host}/debian/dists/stable/main/binary-amd64/Packages.gz"),
                ("package", f"{host}/debian/{deb.path}"),
            ):
                for how in ("cold", "hit"):
                    try:
                        walk = await _walked(running.url, target, f"User-Agent: {how}")
                    except AssertionError as error:
                        show(f"{name}, {how}: {error}")
                        continue
                    show(f"{name + ', ' + how:34} {len(walk.stays):6} {walk.returns:8} {walk.rooms:8}")
            await running.close()


if __name__ == "__main__":
    asyncio.run(main(print))
