"""The metrics: events are counted (`observer`), and the counts rendered in Prometheus' text format (`exposition`).

`app` makes a `Metrics` and passes it as the `Observer`; the edge calls `render` for `/metrics`. Others see only what
the counts come to for clients, a `Traffic`.
"""

from proxy.metrics.counts import Gauges
from proxy.metrics.observer import Metrics
from proxy.metrics.traffic import Traffic, TrafficRow

__all__ = ["Gauges", "Metrics", "Traffic", "TrafficRow"]
