"""The disk: bodies by digest, what is known of addresses, and downloads under way; bounded in bytes.

`store.DiskStore` implements `ports.Store` on one folder (`folder`); `opening` opens it, or has files served past it
while the disk cannot be used. `blobs` and `entries` are what is stored, in memory; `index` is their database
(diskcache), and `backlog` the changes that it does not have yet. A blob is a row of `blob_table`, and a `record` while
it is used; what `loading` has still to bring of a large index is `unloaded`, and `examination` looks at the file of
the database. `blob_files` brings bodies to their places, `deletion` deletes them, `spool` and `journal` hold downloads,
`space` keeps the bound. `lease` opens bodies, and `verification` says whether they are what was stored. `inventory`
lists, removes and verifies for a person. `upkeep` works by itself; `threads` runs what blocks, and `disk_health` knows
what fails. It never knows what a wheel is, and never reads or writes pickle.
"""
