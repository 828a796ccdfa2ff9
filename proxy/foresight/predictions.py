"""What was foreseen, and whether a client asked for it: the record by which being wrong is bounded and counted.

Times are seconds of the monotonic clock. Mutable state: what nobody asked for yet, the oldest first, and the last
verdicts of each client.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from proxy.bounded import Bounded
from proxy.events import Foreseen
from proxy.model import Kind, Target
from proxy.ports import Observer

_SOON = 60.0  # seconds within which a page or metadata has to be asked for;
_LATER = 600.0  # and a file, since large ones come before it
_OPEN = 128  # of one client, that it did not ask for yet,
_MOST = 4096  # and of all of them: a client may call itself another one each time
_LAST = 32  # verdicts that count;
_ENOUGH = 16  # and from so many on
_PAUSE = 120.0  # seconds without look-ahead for a client that goes elsewhere
_CLIENTS = 256


@dataclass(slots=True)
class Prediction:
    """One thing that was foreseen for a client. `size`: bytes that came from upstream, once it is `here`."""

    target: Target
    kind: Kind
    client: str
    due: float
    size: int = 0
    here: bool = False
    used: bool = False


class _Score:
    """How often one client asked for what was foreseen."""

    __slots__ = ("open", "paused", "verdicts")

    def __init__(self) -> None:
        self.open = 0
        self.paused = 0.0
        self.verdicts: deque[bool] = deque(maxlen=_LAST)

    def closed(self) -> None:
        self.open = max(self.open - 1, 0)  # the score may have been forgotten since it was opened

    def judged(self, now: float, *, used: bool) -> None:
        self.closed()
        self.verdicts.append(used)
        if len(self.verdicts) >= _ENOUGH and sum(self.verdicts) * 2 < len(self.verdicts):
            self.paused = now + _PAUSE
            self.verdicts.clear()


class Predictions:
    """The record."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._waiting: OrderedDict[Target, Prediction] = OrderedDict()
        self._scores: Bounded[str, _Score] = Bounded(_CLIENTS)
        self._looked = 0.0

    def may(self, client: str, now: float) -> bool:
        """Whether anything more may be foreseen for a client."""
        self._expire(now)
        if len(self._waiting) >= _MOST:
            return False
        score = self._scores.get(client)
        return score is None or (score.open < _OPEN and now >= score.paused)

    def begin(self, target: Target, kind: Kind, client: str, now: float) -> Prediction | None:
        """Something is asked for ahead of a client. None: it was before, for this client or another."""
        if target in self._waiting:
            return None
        prediction = Prediction(target, kind, client, now + (_LATER if kind is Kind.FILE else _SOON))
        self._waiting[target] = prediction
        self._score(client).open += 1
        return prediction

    def ended(self, prediction: Prediction, size: int | None) -> None:
        """It came from upstream, with so many bytes. None: nothing came, or it was here before; it does not count."""
        if size is None:
            if self._waiting.get(prediction.target) is prediction:  # not one that was made after it was asked for
                del self._waiting[prediction.target]
                self._score(prediction.client).closed()
            return
        prediction.here, prediction.size = True, size
        self._tell(prediction, "fetched")
        if prediction.used:
            self._tell(prediction, "used")

    def asked(self, target: Target, now: float) -> bool:
        """A client asked for something. Whether that was foreseen."""
        prediction = self._waiting.pop(target, None)
        if prediction is not None:
            prediction.used = True
            self._score(prediction.client).judged(now, used=True)
            if prediction.here:
                self._tell(prediction, "used")
        return prediction is not None

    def _expire(self, now: float) -> None:
        """Judge what was not asked for in time. Looks no more than once a second."""
        if now < self._looked + 1.0:
            return
        self._looked = now
        late = [prediction for prediction in self._waiting.values() if prediction.here and now >= prediction.due]
        for prediction in late:
            del self._waiting[prediction.target]
            self._score(prediction.client).judged(now, used=False)
            self._tell(prediction, "unused")

    def _score(self, client: str) -> _Score:
        score = self._scores.get(client)
        if score is None:
            score = self._scores[client] = _Score()
        return score

    def _tell(self, prediction: Prediction, outcome: str) -> None:
        self._observer(Foreseen(prediction.target.mount, prediction.kind, outcome, prediction.size))
