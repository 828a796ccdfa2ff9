"""The pages that a browser gets at `/`: what was saved and what goes on now, and the stored files.

They are made on the server and right without JavaScript; a short script fetches the first one anew while somebody
looks. Nothing on them comes from elsewhere, and their Content-Security-Policy allows nothing else. Called by
`own_pages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Self
from urllib.parse import urlencode

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from packaging.utils import canonicalize_name

from proxy import clients, version
from proxy.control.protocol import Action, ActionEnd, FoundFiles, Order
from proxy.status import AnswerStatus, Now
from proxy.web import savings_graph
from proxy.web.shared_facts import tag_of

POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FOLDER = files("proxy.web") / "page"
_THOUSAND = 1000
_ORDERS = (
    (Order.SIZE.value, "largest first"),
    (Order.AGE.value, "confirmed longest ago first"),
    (Order.UNUSED.value, "longest unused first"),
    (Order.REQUESTS.value, "most requested first"),
)
_ACTIONS = (
    # The first is what Enter in the field of the token does: it must harm nothing.
    (Action.PIN.value, "Pin"),
    (Action.UNPIN.value, "Unpin"),
    (Action.REFRESH.value, "Refresh"),
    (Action.DELETE.value, "Delete"),
)
_DONE = {
    Action.DELETE: "Deleted",
    Action.REFRESH: "Confirmed with upstream before anybody gets them again",
    Action.PIN: "Pinned, so that they are never evicted",
    Action.UNPIN: "Not pinned any more",
}
_LEFT = {
    Action.DELETE: "not stored any more",
    Action.REFRESH: "cannot change, since the index promises the digest, or not stored any more",
    Action.PIN: "changes under its address, or not stored any more",
    Action.UNPIN: "not stored any more",
}


@dataclass(frozen=True, slots=True)
class AnswerFilter:
    """What a person looks for among the answers: a part of the client's address, a project, a part of the path.

    They are texts and no patterns: none can take long.
    """

    client: str = ""
    path: str = ""
    project: str = ""

    def passes(self, answer: AnswerStatus) -> bool:
        """Whether an answer is shown."""
        wanted = self.project.strip()
        return (
            self.client in answer.client
            and self.path.lower() in answer.path.lower()
            and (not wanted or answer.project in (wanted, canonicalize_name(wanted)))
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a form: what was done, or the problem. `chosen`: the sha256 of files that stay selected."""

    done: ActionEnd | None = None
    problem: str | None = None
    chosen: tuple[str, ...] = ()

    @property
    def text(self) -> str | None:
        """What was done, for a person."""
        end = self.done
        if end is None:
            return None
        left = f" {end.left} {_files(end.left)}: {_LEFT[end.do]}." if end.left else ""
        done = f"{_DONE[end.do]}: {end.files} {_files(end.files)}, {size(end.size)}.{left}"
        if not end.undeleted:
            return done
        return f"{done} {end.undeleted} {_files(end.undeleted)} could not be deleted: {end.reason}."


@dataclass(frozen=True, slots=True)
class LivePart:
    """The part of the page that its script fetches anew: as text, as it is sent, and with a validator."""

    text: str
    body: bytes
    tag: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Encode it."""
        body = text.encode()
        return cls(text, body, tag_of(body))


class StatusPage:
    """Renders the pages, and has the two files that belong to them."""

    def __init__(self, indexes: Mapping[str, str]) -> None:
        """`indexes`: the path of the index below each mount."""
        self._indexes = indexes
        environment = Environment(
            autoescape=True, loader=FunctionLoader(_read), undefined=StrictUndefined, trim_blocks=True
        )
        environment.filters |= {"size": size, "moment": moment, "duration": duration}
        environment.globals |= {"version": version(), "link": _link}
        self._template = environment.get_template("status.html")
        self._live = environment.get_template("live.html")
        self._last: tuple[Now, date, str | None, LivePart] | None = None  # of these facts
        self._stored = environment.get_template("stored.html")
        self.style = _read("status.css")
        self.script = _read("status.js")

    def render(
        self,
        now: Now,
        base_url: str,
        today: date,
        trouble: str | None = None,
        wanted: AnswerFilter = AnswerFilter(),
    ) -> str:
        """The page as HTML. `base_url`: the cache as the browser reached it; `today`: in UTC, as the days of `now`.

        `trouble`: what is wrong, if anything. `wanted`: which answers are shown.
        """
        mount = "pypi" if "pypi" in self._indexes else min(self._indexes)
        index = self._indexes[mount]
        return self._template.render(
            live=Markup(self.live(now, today, trouble).text),  # noqa: S704 - it is the page's own, and escaped
            trouble=_degraded(trouble),
            answers=list(filter(wanted.passes, now.answers)),
            client=wanted.client,
            path=wanted.path,
            project=wanted.project,
            clients=(
                ("pip", clients.pip_lines(base_url, mount, index)),
                ("uv", clients.uv_lines(base_url, mount, index)),
                ("apt, in a file of /etc/apt/apt.conf.d", clients.apt_lines(base_url)),
                ("Docker", ("pullthrough build .",)),
            ),
        )

    def live(self, now: Now, today: date, trouble: str | None = None) -> LivePart:
        """The living part. Made once for the same facts, however many look."""
        last = self._last
        if last is None or last[0] is not now or last[1:3] != (today, trouble):
            text = self._live.render(
                now=now,
                savings=savings_graph.savings(now.days, today),
                since=savings_graph.PeriodSaving("", now.sent, now.fetched),
                bars=savings_graph.bars(now.days, today),
                view_box=savings_graph.view_box(),
                trouble=_degraded(trouble),
            )
            last = self._last = now, today, trouble, LivePart.of(text)
        return last[3]

    def stored(  # noqa: PLR0913, PLR0917 what was asked for
        self, listing: FoundFiles | None, text: str, order: Order, start: int, count: int, said: Said = Said()
    ) -> str:
        """The page of stored files. `listing`: what is shown, None where the data folder is not open.

        `text`, `order`, `start`, `count`: what was asked for. `said`: of a form that was sent.
        """
        return self._stored.render(
            listing=listing,
            text=text,
            order=order.value,
            orders=_ORDERS,
            start=start,
            count=count,
            actions=_ACTIONS,
            done=said.text,
            problem=said.problem,
            chosen=frozenset(said.chosen),
        )


def size(number: int) -> str:
    """Bytes for a person, in the units of disks: 1,234,567 is "1.2 MB"."""
    value, units = float(abs(number)), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= _THOUSAND and (larger := next(units, None)):
        value, unit = value / _THOUSAND, larger
    sign = "\N{MINUS SIGN}" if number < 0 else ""
    return f"{sign}{value:,.0f} {unit}" if unit == "B" else f"{sign}{value:,.1f} {unit}"


def moment(seconds: float) -> str:
    """A time for a person, in UTC: "2026-01-31 12:34:56 UTC". `seconds` since the epoch."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float) -> str:
    """A time that passed, for a person: "3 days", "5 hours", "12 minutes"."""
    for unit, length in (("days", 86_400), ("hours", 3600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"


def _degraded(trouble: str | None) -> str:
    """What is wrong, for a person; empty where nothing is."""
    return f"Degraded: {trouble}. Files are served past the store." if trouble else ""


def _files(number: int) -> str:
    return "file" if number == 1 else "files"


def _link(text: str, order: str, start: int) -> str:
    """The query of another part of the same list."""
    return urlencode({"view": "stored", "q": text, "order": order, "start": start})


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
