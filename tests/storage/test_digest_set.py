"""Many digests in little memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.storage.digest_set import DigestSet

_SHA256 = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(st.sets(_SHA256), st.sets(_SHA256))
def test_digest_set__has_what_it_was_given(there: set[str], others: set[str]) -> None:
    """In any order, and nothing else."""
    found = DigestSet(there)

    assert len(there) == len(found)
    assert there == {one for one in there | others if one in found}
