"""The Unix socket by which verbs ask a running cache: its protocol, and both of its sides.

It is never reachable from the network.
"""
