"""Bundles: what a cache holds, as one plain tar that anybody can use (ADR 21).

`manifest` is what a bundle says of itself, and `layout` where each thing is in it. The room knows bytes, keys and
paths. It never knows HTTP, nor what an index is.
"""
