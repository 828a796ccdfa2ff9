"""Bundles that are what they say, and others."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.bundles.manifest import BadBundle
from proxy.bundles.manifest_file import read
from proxy.bundles.verifying import VerifiedBundle, verify
from tests.bundles.packed import BODIES, CREATED, WHEEL, contents, sha256, write

_WHEEL = "files/pypi/files.example/a/demo-1-py3-none-any.whl"


def test_verify__it_is_right(tmp_path: Path) -> None:
    """All is read and counted."""
    members, steps = contents().members, list[tuple[int, int]]()
    bundle = write(tmp_path)

    found = verify(bundle, lambda done, of: steps.append((done, of)))

    assert VerifiedBundle(CREATED, len(members), sum(member.size for member in members), 0) == found
    assert (bundle.stat().st_size,) * 2 == steps[-1]


def test_verify__a_delta(tmp_path: Path) -> None:
    """What an earlier bundle has need not be here."""
    before = {(one.path, one.sha256) for one in contents({WHEEL: BODIES[WHEEL]}).members if one.entries}

    assert 1 == verify(write(tmp_path, before=before)).elsewhere


def test_verify__a_byte_is_another(tmp_path: Path) -> None:
    """The member is named."""
    bundle = write(tmp_path)
    body = bytearray(bundle.read_bytes())
    body[body.index(b"wheelwheel") + 7] ^= 1
    bundle.write_bytes(body)

    with pytest.raises(BadBundle, match=_WHEEL):
        verify(bundle)


def test_verify__cut_off(tmp_path: Path) -> None:
    """Wherever it ends."""
    bundle = write(tmp_path)
    body = bundle.read_bytes()
    for length in range(0, len(body) - 20_000, 4321):
        bundle.write_bytes(body[:length])
        with pytest.raises(BadBundle):
            verify(bundle)


_SEGMENTS = st.lists(st.sampled_from(["a", "b", "a.whl", "+page", "..", "", "\\", "é" * 200]), max_size=4).map("/".join)
_KEYS = st.one_of(
    st.builds("file:pypi:demo:{}:{}".format, st.sampled_from(["", "h", "h/80"]), _SEGMENTS),
    st.builds("page:pypi:demo:{}".format, _SEGMENTS),
    st.builds("apt:file:http://h/{}".format, _SEGMENTS),
    st.builds("apt:release:http://h/{}/:Release".format, _SEGMENTS),
    _SEGMENTS,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_KEYS, st.sampled_from([b"", b"1", b"22", b"3" * 600]), max_size=12))
def test_verify__whatever_a_store_holds(bodies: dict[str, bytes]) -> None:
    """Each entry is in the bundle, with its body, whatever paths get in each other's way."""
    with tempfile.TemporaryDirectory() as name:
        bundle = write(Path(name), bodies)
        verify(bundle)
        found = {entry.key: member.sha256 for member in read(bundle).members for entry in member.entries}

    assert {key: sha256(body) for key, body in bodies.items()} == found
