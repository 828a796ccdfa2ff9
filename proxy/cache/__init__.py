"""How things are cached: documents, which change; downloads, which never do; and one flight for all who want a file.

Knows the ports only: no server, no client library, no database. Never decides what an address means: the rooms above
(`python`, `apt`) say which file or document they want, from where, and which digest it must have.
"""
