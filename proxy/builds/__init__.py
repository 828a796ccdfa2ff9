"""Docker and what starts the cache: the engine, builders, the address that a build reaches, compose, service units.

It never serves or stores anything, and it alone knows Docker's library.
"""
