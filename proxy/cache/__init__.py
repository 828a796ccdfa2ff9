"""How things are kept: what changes (`documents`), what never does (`downloads`), and one flight for many askers.

Knows the ports only: no server, no client library, no database. Never decides what an address means; the rooms above
(`python`, `apt`) say what is wanted, from where, and what its digest must be.
"""
