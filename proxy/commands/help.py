"""`pullthrough help`: the verbs with examples, and the exit statuses. Called by `cli`."""

from __future__ import annotations

OVERVIEW = """\
pullthrough: a pull-through caching proxy for pip, uv and apt, and Docker builds through it.

The usual way:
  pullthrough setup                start the cache for good, and prove that builds reach it
  pullthrough build                docker build with Dockerfile.cached through the cache
  pullthrough stats                what is stored, and what that saved

Verbs:
  serve        run the cache in the foreground, until Ctrl-C
  setup        start it in a container or by the system, and point clients at it; --remove takes all back
  build        docker build through the cache, and a table of what that saved
  warm         have in the cache what lock files, Dockerfiles and apt's packages need, so that a build needs no internet
  export       pack what is stored, or part of it, into one plain tar, for a place without internet
  import       take in a bundle of another cache, or a folder of wheels, debs or another program's files
  diff         what two bundles do not have in common, or what the cache lacks of a lock file
  stats        what is stored, by index and kind, and what that saved; --docker: Docker's own caches, too
  who          which clients got a project, a version or a file, and when
  explain      what a request for an address would come to, and why
  clean        delete stored files by age, index, project, version or size
  verify       hash every stored file anew, and drop what is damaged; or every file of a bundle
  doctor       look at all that a build needs, and say how to mend what is wrong
  healthcheck  ask the cache whether it serves, for containers
  help VERB    the options of a verb

Examples:
  pullthrough setup --print                         only show what would be done
  pullthrough setup --write all --monitoring        clients of this machine use it too; Prometheus and Grafana beside it
  pullthrough setup --process                       no container: a unit of systemd, or an agent of launchd
  pullthrough setup --host 0.0.0.0                  open to the whole network
  pullthrough setup --remove                        as if setup had never been run
  pullthrough build -t app:1 .                      any option of docker build
  pullthrough build -f docker/Dockerfile --json .   a report for programs
  pullthrough warm uv.lock --platform linux         all that a build on Linux will ask for
  pullthrough warm Dockerfile --apt 'curl jq'       what its steps install, and packages of this machine's archives
  pullthrough export app.tar --for uv.lock          what that build needs, as one file for a place without internet
  pullthrough export next.tar --since last.tar      what is new since the last one
  pullthrough who 'litellm==1.82.*' --since 7d      who pulled that version in the last week?
  pullthrough explain /pypi/simple/litellm/         is the page fresh, and what decides that?
  pullthrough doctor -f Dockerfile                  why does my build go past the cache?

Settings come from flags, the environment (PULLTHROUGH_...) and a file pullthrough.toml:
  pullthrough serve --print-config                  every setting, its value, and where it came from

Exit statuses: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted. Of build: the build's own.
"""
