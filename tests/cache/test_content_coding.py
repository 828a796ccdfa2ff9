"""What is done with content codings: by the field, the name, and the bytes."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.content_coding import LOOKED_AT, Gunzip, Nature, layers, nature
from proxy.errors import UpstreamBroken

PLAIN = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n" * 50
ONCE = gzip.compress(PLAIN, mtime=0)
TWICE = gzip.compress(ONCE, mtime=0)
SENT = {"plain": PLAIN, "coded once": ONCE, "coded twice": TWICE}

# What the document is, by how many layers of gzip its bytes have, where the field names gzip once.
EXPECTED = {
    "archive.tar.gz": {"plain": PLAIN, "coded once": ONCE, "coded twice": ONCE},
    "archive.TGZ": {"plain": PLAIN, "coded once": ONCE, "coded twice": ONCE},
    "archive.asc": {"plain": PLAIN, "coded once": PLAIN, "coded twice": PLAIN},
    "InRelease": {"plain": PLAIN, "coded once": PLAIN, "coded twice": PLAIN},
    "vmlinuz": {"plain": PLAIN, "coded once": PLAIN, "coded twice": ONCE},
    "archive.tar.xz": {"plain": PLAIN, "coded once": PLAIN, "coded twice": ONCE},
}
ABSENT = [None, "", "identity", "Identity", "identity, identity", " , ", "aws-chunked"]
GZIP = ["gzip", "x-gzip", "GZip", "X-GZIP", "gzip, identity", "identity , gzip", "gzip,", "aws-chunked,gzip"]
OTHERS = ["deflate", "br", "zstd", "compress", "x-unknown", "gzip, br", "br, gzip", "gzip;q=1"]


def decoded(name: str, field: str | None, body: bytes, content_type: str = "") -> bytes:
    """The document that is found at `name`."""
    urls = (f"https://deb.example/keys/{name}?a=b.txt",)
    for _ in range(layers(field, nature(urls, content_type), urls, body[:LOOKED_AT])):
        gunzip = Gunzip()
        body = b"".join(gunzip.feed(body))
        gunzip.end()
    return body


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("field", [*ABSENT, *GZIP, *OTHERS])
def test_layers__name_field_and_bytes(name: str, field: str | None, sent: str) -> None:
    """The bytes are the file where its name says so, else they are decoded; a coding nobody asked for is refused.

    Text that is there as it is was not coded, whatever the field says.
    """
    if field in OTHERS and sent == "plain" and name in {"archive.asc", "InRelease"}:
        assert decoded(name, field, PLAIN) == PLAIN
    elif field in OTHERS:
        with pytest.raises(UpstreamBroken):
            decoded(name, field, SENT[sent])
    else:
        expected = SENT[sent] if field in ABSENT else EXPECTED[name][sent]
        assert expected == decoded(name, field, SENT[sent])


@pytest.mark.parametrize("body", [b"\x0b\x02\x80page\x03", b"page \xff", b"\x28\xb5\x2f\xfd page", b""])
def test_layers__no_text(body: bytes) -> None:
    """What cannot be text may be coded, and is refused."""
    with pytest.raises(UpstreamBroken):
        decoded("a.html", "br", body)


def test_layers__text_that_is_cut() -> None:
    """What is looked at may end within a character."""
    assert 0 == layers("utf-8", Nature.TEXT, (), "<p>é".encode()[:-1])


def test_layers__two_fields_of_gzip() -> None:
    """Two codings are two layers, of which an archive keeps its own."""
    assert [PLAIN, PLAIN, ONCE] == [decoded(name, "gzip, gzip", TWICE) for name in ("vmlinuz", "a.asc", "a.gz")]


@pytest.mark.parametrize(
    ("name", "field"), [("a.tar.zst", "zstd"), ("a.tar.br", "br"), ("a.tar.xz", "xz"), ("a.Z", "compress")]
)
def test_layers__packing_of_the_file_itself(name: str, field: str) -> None:
    """What a server derives from the file's own name is no coding."""
    assert ONCE == decoded(name, field, ONCE)


def test_nature__media_type() -> None:
    """A download without a name may say by its type that it is gzip itself."""
    assert ONCE == decoded("latest", "gzip", ONCE, "application/gzip; charset=binary")
    assert Nature.GZIP is nature(("https://a.example/latest", "https://b.example/demo-1.0.tar.gz"), "")


@pytest.mark.parametrize("field", ["gzip", "x-gzip"])
def test_layers__begins_as_gzip_and_is_none(field: str) -> None:
    """Bytes that begin as gzip and go on otherwise are taken for damaged, not for a document."""
    with pytest.raises(UpstreamBroken):
        decoded("a.asc", field, ONCE[:3] + b"\xff" * 100)


@given(
    members=st.lists(st.binary(max_size=2000), min_size=1, max_size=6),
    zeros=st.integers(0, 5000),
    cuts=st.lists(st.integers(1, 900), max_size=20),
    level=st.sampled_from([0, 1, 9]),
)
def test_feed__members_and_padding(members: list[bytes], zeros: int, cuts: list[int], level: int) -> None:
    """Members one after another, and zeros behind them (RFC 1952 §2.2, gzip(1)), however they are cut."""
    packed = b"".join(gzip.compress(member, level, mtime=0) for member in members) + bytes(zeros)
    gunzip = Gunzip()

    found = b"".join(piece for part in _cut(packed, cuts) for piece in gunzip.feed(part))
    gunzip.end()

    assert b"".join(members) == found


@given(body=st.binary(max_size=3000), keep=st.floats(0, 1, exclude_max=True), cuts=st.lists(st.integers(1, 500)))
def test_feed__cut_short(body: bytes, keep: float, cuts: list[int]) -> None:
    """A body that ends in the middle of a member is refused."""
    packed = gzip.compress(body, mtime=0)
    gunzip = Gunzip()

    def unpack() -> None:
        for part in _cut(packed[: int(len(packed) * keep)], cuts):
            list(gunzip.feed(part))
        gunzip.end()

    with pytest.raises(UpstreamBroken):
        unpack()


@pytest.mark.parametrize("behind", [b"x", b"\0\0x", ONCE[:5], bytes(70_000) + b"x", b"\0" + ONCE, b"\x1f\x8b\x08"])
def test_feed__something_else_behind(behind: bytes) -> None:
    """What follows the last member and is neither zeros nor a member makes the body wrong."""
    gunzip = Gunzip()

    def unpack() -> None:
        list(gunzip.feed(ONCE + behind))
        gunzip.end()

    with pytest.raises(UpstreamBroken):
        unpack()


@given(st.integers(0, len(ONCE) - 1), st.integers(1, 255))
def test_feed__one_byte_changed(position: int, change: int) -> None:
    """Damage is noticed, or does not matter: the checksum is over all that is given."""
    damaged = bytearray(ONCE)
    damaged[position] ^= change
    gunzip = Gunzip()

    try:
        found = b"".join(gunzip.feed(bytes(damaged)))
        gunzip.end()
    except UpstreamBroken:
        return
    assert PLAIN == found


def test_feed__bomb_in_pieces() -> None:
    """A few bytes that unpack to megabytes come in pieces of at most 256 KiB: the reader may stop between two."""
    bomb = gzip.compress(gzip.compress(bytes(64 << 20)), mtime=0)
    outer, inner = Gunzip(), Gunzip()

    sizes = [len(piece) for packed in outer.feed(bomb) for piece in inner.feed(packed)]

    assert (64 << 20, True) == (sum(sizes), max(sizes) <= 256 << 10)


def test_feed__members_without_end() -> None:
    """Millions of empty members are made to cost time, and refused."""
    gunzip = Gunzip()
    member = gzip.compress(b"", mtime=0)

    with pytest.raises(UpstreamBroken, match="too many"):
        list(gunzip.feed(member * 50_000))


def test_feed__zlib_is_no_gzip() -> None:
    """Deflate in zlib's wrapping is not gzip."""
    with pytest.raises(UpstreamBroken):
        list(Gunzip().feed(zlib.compress(PLAIN)))


def _cut(body: bytes, cuts: list[int]) -> list[bytes]:
    """`body` in parts of these lengths, and the rest."""
    parts: list[bytes] = []
    for length in cuts:
        parts.append(body[:length])
        body = body[length:]
    return [*parts, body]
