"""Many clients that update again and again while an archive moves on under them.

Used by the end-to-end tests: the same run through any cache, and what its clients saw.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.e2e.apt import AptRoot, Ran, check
from tests.e2e.archive import State
from tests.e2e.mirror import Mirror, Mix

_TORN = (0.02, 0.15)  # seconds that a mirror is in between two states, from and to
_WHOLE = (0.02, 0.15)  # seconds that it is whole
_ANEW = 0.3  # of the updates begin without any list


@dataclass(slots=True)
class Tally:
    """What clients saw. `complaints` counts lines by their last part, without addresses."""

    updates: int = 0
    failed: int = 0
    complaints: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    @property
    def mismatches(self) -> int:
        """Lines that tell of a mix of two releases."""
        return sum(count for text, count in self.complaints.items() if "Hash Sum" in text or "unexpected size" in text)

    def add(self, ran: Ran) -> None:
        """Count a run of apt."""
        self.updates += 1
        self.failed += ran.status != 0
        text = ran.output
        for word in ("Hash Sum mismatch", "unexpected size"):
            self.complaints[word] += text.count(word)
        others = [line for line in ran.complaints if not line.startswith("Err:")]
        self.complaints["lines with E: or W:"] += len(others)
        if ran.status or others:
            self.said.append(text)

    def __str__(self) -> str:
        complaints = ", ".join(f"{text}: {count}" for text, count in self.complaints.items() if count)
        return f"{self.updates} updates, {self.failed} failed; {complaints or 'no complaint'}"


def churn(mirror: Mirror, states: Sequence[State], roots: Sequence[AptRoot], seed: int) -> Tally:
    """Move the mirror through all `states`, torn for a while each time, while each root updates; what they saw.

    It begins whole, until one client has everything: of a suite that it first meets torn, no cache can give the rest.
    """
    check(roots[0].update())
    over = threading.Event()
    tally, lock = Tally(), threading.Lock()

    def update(root: AptRoot, number: int) -> None:
        chance = random.Random(seed + number)
        while not over.is_set():
            if chance.random() < _ANEW:
                root.forget()
            ran = root.update()
            with lock:
                tally.add(ran)

    with ThreadPoolExecutor(len(roots), thread_name_prefix="apt") as pool:
        clients = [pool.submit(update, root, number) for number, root in enumerate(roots)]
        try:
            chance = random.Random(seed)
            torn = [mix for mix in Mix if mix is not Mix.NONE]
            for state in states:
                mirror.move(state, chance.choice(torn))
                time.sleep(chance.uniform(*_TORN))
                mirror.settle()
                time.sleep(chance.uniform(*_WHOLE))
        finally:
            over.set()
        for client in clients:
            client.result()
    return tally
