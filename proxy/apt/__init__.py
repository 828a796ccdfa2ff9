"""apt archives: what an address of an archive is, and how a suite is kept in one piece.

`service.AptArchives` answers for every archive; the rest are the rules that it acts on: addresses, classes of paths,
Release files, which snapshot of a suite is served. Knows no HTTP library and no database, never checks or changes a
signature (apt does the one, nobody the other), and never gives a client halves of two releases.
"""
