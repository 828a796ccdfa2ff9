"""apt archives: what an address of an archive is, and how a suite is served in one piece.

`service.AptArchives` answers for every archive. The rest are the rules that it acts on: addresses, classes of paths,
Release files, and which snapshot of a suite is served. Uses no HTTP library and no database. Never checks or changes a
signature (apt checks them), and never serves a client parts of two releases.
"""
