"""What a client asks next, asked before it asks (ADR 18).

`Foresight` answers in place of the service of Python indexes: the same answers, and meanwhile it looks ahead.
"""

from proxy.foresight.requests_ahead import Bounds
from proxy.foresight.service import Foresight

__all__ = ["Bounds", "Foresight"]
