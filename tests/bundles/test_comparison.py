"""What one bundle has that another has not."""

from __future__ import annotations

from proxy.bundles.comparison import compare
from proxy.bundles.manifest import Manifest
from tests.bundles.packed import BODIES, PAGE, SDIST, WHEEL, contents

_FIRST = Manifest(1.0, contents().members)


def test_compare__the_same() -> None:
    """Also if one is a delta, and made at another time."""
    before = {(one.path, one.sha256) for one in _FIRST.members}

    found = compare(_FIRST, Manifest(2.0, contents(before=before).members))

    assert found.none
    assert len(BODIES) == found.same


def test_compare__each_kind_of_difference() -> None:
    """By path; what is made for people does not count."""
    bodies = {key: body for key, body in BODIES.items() if key != SDIST} | {PAGE: b"newer", f"{WHEEL}.asc": b"signed"}

    found = compare(_FIRST, Manifest(1.0, contents(bodies).members))

    assert ["files/pypi/_/old/demo-0.9.tar.gz"] == [one.path for one in found.only_first]
    assert ["files/pypi/files.example/a/demo-1-py3-none-any.whl.asc"] == [one.path for one in found.only_second]
    assert [("pages/pypi/simple/demo/+page", len(BODIES[PAGE]), 5)] == [
        (one.path, one.size, other.size) for one, other in found.changed
    ]
    assert (False, len(BODIES) - 2) == (found.none, found.same)
