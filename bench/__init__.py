"""Side-by-side measurements of pullthrough, nginx, devpi-server and proxpi on one machine.

`python -m bench` makes a local origin, starts every server with an empty cache in front of it, measures them in turn
and writes `bench/RESULTS.md`. Nothing here is imported by the proxy, and nothing leaves the loopback interface except
the installation of the two peers that are Python packages.
"""
