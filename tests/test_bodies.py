"""Bodies that are made while they are sent are the same at every place, every time."""

from __future__ import annotations

import hashlib

import pytest

from tests.bodies import Flipped, Joined, Noise, Plain, pieces, sha256


@pytest.mark.parametrize("body", [Noise(200_000, 7), Joined((Plain(b"ab"), Noise(200_000), Plain(b"yz")))])
def test_body__any_part(body: Noise | Joined) -> None:
    """A part that is read alone is the same part of the whole."""
    whole = body.read(0, body.size)

    assert body.size == len(whole)
    assert hashlib.sha256(whole).hexdigest() == sha256(body)
    for start, end in [(0, 0), (0, 1), (1, 3), (65_535, 65_538), (131_000, 140_000), (body.size - 3, body.size)]:
        assert whole[start:end] == body.read(start, end)
    assert whole == b"".join(pieces(body, step=777))


def test_noise__blocks_and_seeds_differ() -> None:
    """No block can be taken for another, nor for one of another seed."""
    blocks = {Noise(1 << 20, seed).read(at, at + 65_536) for seed in (1, 2) for at in range(0, 1 << 20, 65_536)}

    assert 32 == len(blocks)


def test_flipped__one_byte() -> None:
    """Exactly one byte differs."""
    body = Flipped(Noise(100), 42)

    assert [42] == [at for at, byte in enumerate(Noise(100).read(0, 100)) if byte != body.read(0, 100)[at]]
    assert body.read(40, 45) == body.read(0, 100)[40:45]
