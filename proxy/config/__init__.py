"""The settings: what can be set, where values come from, and what is said when one is wrong.

Called by `commands` and `app`. It never opens the data folder, never listens, and reads the environment only where a
caller hands it one.
"""

from proxy.config.groups import GroupSettings
from proxy.config.loading import ConfigError, Resolved, resolve
from proxy.config.settings import FetchSettings, ServeSettings, Settings
from proxy.config.upstreams import UpstreamSettings

__all__ = [
    "ConfigError",
    "FetchSettings",
    "GroupSettings",
    "Resolved",
    "ServeSettings",
    "Settings",
    "UpstreamSettings",
    "resolve",
]
