"""What must outlive a restart: totals by day, and who asked for which file (ADR 16).

`Recorder` observes events and writes, `questions` and `demand` read. `database` is the file, which nobody else opens,
and `schema` has its tables.
"""

from proxy.history.demand import demand
from proxy.history.periods import PeriodSum, periods
from proxy.history.questions import Pull, PullQuestion, days, pulls
from proxy.history.recorder import Recorder
from proxy.history.sums import DaySum, ProjectSum

__all__ = [
    "DaySum",
    "PeriodSum",
    "ProjectSum",
    "Pull",
    "PullQuestion",
    "Recorder",
    "days",
    "demand",
    "periods",
    "pulls",
]
