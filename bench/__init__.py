"""Side-by-side measurements of pullthrough, nginx, devpi-server, proxpi and caches for apt on one machine.

`python -m bench` makes a local origin, starts every server with an empty cache in front of it, measures them in turn
and writes `bench/RESULTS.md`. Nothing here is imported by the proxy. Nothing leaves the loopback interface except the
installation of peers and clients, and what the cases of real clients need of PyPI: `public_index` has it before the
clock starts.
"""
