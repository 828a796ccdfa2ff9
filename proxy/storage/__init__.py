"""The disk: bodies by digest, what is known of addresses, and downloads under way; bounded in bytes.

`store.DiskStore` implements `ports.Store` on one folder: `folder` lays it out and `lock` keeps a second process out.
`late` stands in for it while the disk cannot be used. `index` is the database (diskcache), `blobs` and `entries` its
picture in memory, `backlog` the changes that it does not have yet. `adoption` and `dropping` bring files to their
`places` and away, `spool` and `journal` hold downloads, `space` keeps the bound with the rule in `eviction`, `lease`
opens files and `proof` says whether they are what was stored; `checking` and `renewal` work in the background. It
never knows what a wheel is, and never reads or writes pickle.
"""
