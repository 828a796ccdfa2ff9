"""The settings: what can be set, where values come from, and what is said when one is wrong.

Called by `commands` and `app`. It never opens the data folder, never listens, and reads the environment only where a
caller passes it.
"""
