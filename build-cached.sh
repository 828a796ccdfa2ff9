#!/bin/sh
# Runs pullthrough: ./build-cached.sh build|setup|stats|clean|help. It is the installed command; without one, that of
# this checkout, which is installed into .venv as `make serve` does it. `setup` is always the checkout's: the container
# is made of it, and an installed wheel has no compose.yaml. For any POSIX shell; needs Python and nothing else.
set -eu

if [ "${1:-}" != setup ] && command -v pullthrough >/dev/null 2>&1; then exec pullthrough "$@"; fi

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
fail() { echo "build-cached.sh: $1" >&2; exit 1; }

python=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "no Python 3.11 or later was found: install one, or name it: PYTHON=… ./build-cached.sh"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ready=$here/.venv/.serve-ready-$version

changed() { [ -n "$(find "$here/requirements.txt" "$here/requirements-build.txt" "$here/pyproject.toml" -newer "$ready")" ]; }
if ! [ -f "$ready" ] || changed; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments: on Debian and Ubuntu, sudo apt-get install python3-venv"
  echo "build-cached.sh: installing into $here/.venv, once" >&2
  venv=$here/.venv/bin/python
  "$venv" -m pip --version 2>/dev/null | grep -q "(python $version)" || "$python" -m venv --clear "$here/.venv"
  install() { "$venv" -m pip install --quiet --disable-pip-version-check "$@"; }
  install --require-hashes -r "$here/requirements.txt" -r "$here/requirements-build.txt"
  install --no-deps --no-build-isolation --editable "$here"
  touch "$ready"
fi
exec "$here/.venv/bin/pullthrough" "$@"
