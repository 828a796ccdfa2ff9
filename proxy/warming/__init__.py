"""Has in the cache what a lock file names, before anybody asks for it (ADR 20).

`wishes` reads what a person names: `lock_files`; `dockerfiles`, with `shell_commands`, `installers` and `image_files`.
`resolving` turns requirements into a lock file, `archives` names of packages into files. `platforms` says for what,
`choice` which files that is, `fetching` asks the cache for them, and `sources` says what builds need. `rounds` does all
of it.
"""
