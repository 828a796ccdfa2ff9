"""Release files: signed or not, what they list, and what is none."""

from __future__ import annotations

import pytest

from proxy.apt import release
from proxy.apt.release import Listed, check_signature, parse
from proxy.errors import UpstreamBroken
from proxy.model import Digest
from tests.archive import signature, signed

SHA, LONG, MD5 = "ab" * 32, "cd" * 64, "d41d8cd98f00b204e9800998ecf8427e"
LISTING = f"""Origin: Debian
Suite: stable
Codename: bookworm
Date: Sat, 11 Oct 2025 09:00:00 UTC
Valid-Until: Sat, 18 Oct 2025 09:00:00 UTC
Acquire-By-Hash: yes
Description: A test
- of a line that begins with a dash
MD5Sum:
 {MD5}        0 main/empty
 {MD5}      123 main/binary-amd64/Packages.xz
SHA512:
 {LONG}      123 main/binary-amd64/Packages.xz
SHA256:
 {SHA}      123 main/binary-amd64/Packages.xz
 {SHA.upper()} 5 ./Packages
 {SHA} 7 main/dep11/icons-64x64@2.tar.gz
 {SHA[2:]} 7 main/too-short
 {SHA} x main/no-size
"""
WELL = LISTING.replace("- of a line that begins with a dash\n", " - with a dash\n")
WEAK = Digest("md5", MD5)


@pytest.mark.parametrize("form", ["plain", "signed", "crlf"])
def test_parse(form: str) -> None:
    """Fields and files are read, signed or not; what is no line of a list is left out."""
    body = {"plain": WELL.encode(), "signed": signed(WELL.encode()), "crlf": WELL.replace("\n", "\r\n").encode()}[form]

    parsed = parse(body, clearsigned=form == "signed")

    digest = Digest("sha256", SHA)
    assert {
        "main/empty": Listed(0, WEAK),
        "main/binary-amd64/Packages.xz": Listed(123, digest, (Digest("sha512", LONG), WEAK)),
        "Packages": Listed(5, digest),
        "main/dep11/icons-64x64@2.tar.gz": Listed(7, digest),
    } == dict(parsed.files)
    assert parsed.by_hash
    assert (1760173200.0, 1760173200.0 + 7 * 86400) == (parsed.date, parsed.valid_until)


def test_parse__only_sha512() -> None:
    """The longer digest is used where the usual one is missing."""
    parsed = parse(f"Suite: x\nSHA512:\n {LONG} 5 Packages\n".encode(), clearsigned=False)

    assert {"Packages": Listed(5, Digest("sha512", LONG))} == dict(parsed.files)


def test_parse__only_weak_digests() -> None:
    """Old archives have MD5 and SHA1 only: the longer one is checked."""
    body = f"Suite: x\nMD5Sum:\n {MD5} 0 Packages\nSHA1:\n {SHA[:40]} 0 Packages\n".encode()

    parsed = parse(body, clearsigned=False)

    assert {"Packages": Listed(0, Digest("sha1", SHA[:40]), (WEAK,))} == dict(parsed.files)
    assert (False, None, None) == (parsed.by_hash, parsed.date, parsed.valid_until)


@pytest.mark.parametrize(
    "line",
    [
        b"Label: M\xfcnchen",
        b"Label: a\x0cb",
        "Label: \u2028 \x85".encode(),
        b"Changelogs_Uri: x",
        b"X.Y: x",
        b"no field at all",
        b"- of a line",
        b"# a comment",
        b"\x00: y",
        b":",
        b"",
        b" ",
        b"\r",
        b"Suite : x",
    ],
    ids=repr,
)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("clearsigned", [False, True])
def test_parse__what_apt_takes(line: bytes, place: str, clearsigned: bool) -> None:
    """A line that is no field, in odd bytes or with an odd name, does not prevent others from being read."""
    lines = WELL.encode().split(b"\n")[:-1]
    lines.insert({"first": 0, "middle": 4, "last": len(lines)}[place], line)
    body = b"\n".join([*lines, b""])

    parsed = parse(signed(body) if clearsigned else body, clearsigned=clearsigned)

    assert parse(WELL.encode(), clearsigned=False) == parsed


def test_parse__fields_that_are_there_twice() -> None:
    """The first one counts: apt reads one paragraph, whatever follows it."""
    assert (
        0.0
        == parse(
            b"Date: Thu, 01 Jan 1970 00:00:00 UTC\n\nDate: Sat, 11 Oct 2025 09:00:00 UTC\n", clearsigned=False
        ).date
    )


def test_parse__unreadable_date() -> None:
    """A date that is none counts as missing."""
    assert parse(b"Suite: x\nDate: soon\nValid-Until: \n", clearsigned=False).valid_until is None


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"<html></html>", b"\n <html>\nDate: now\n", b"Package: a\n", b"Suite x\n", b" Suite: x\n"],
)
@pytest.mark.parametrize("clearsigned", [True, False])
def test_parse__something_else(body: bytes, clearsigned: bool) -> None:
    """The page of a portal is no Release file."""
    with pytest.raises(UpstreamBroken):
        parse(body, clearsigned=clearsigned)


@pytest.mark.parametrize("cut", ["-----BEGIN PGP SIGNATURE", "Suite:", "Hash:"])
def test_parse__signature_missing(cut: str) -> None:
    """A signed file that ends before its signature is not read."""
    body = signed(WELL.encode())

    with pytest.raises(UpstreamBroken):
        parse(body[: body.index(cut.encode())], clearsigned=True)


TWICE = signature(b"", "one key") + signature(b"", "another key")


@pytest.mark.parametrize("ends", [len(signature(b"", "one key")), len(TWICE) - 1])
def test_signature__whole(ends: int) -> None:
    """One signature or several, with or without a last line end, in a Release file or beside it."""
    whole = TWICE[:ends]

    parsed = parse(signed(WELL.encode()).partition(b"-----BEGIN PGP SIGNATURE")[0] + whole, clearsigned=True)

    assert parse(WELL.encode(), clearsigned=False) == parsed
    check_signature(whole)
    check_signature(whole.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("cut", [b"\n-----END", b"ND PGP SIGNATURE-----\n", b"--\n", b" PGP SIGNATURE-----\n\n"])
@pytest.mark.parametrize("whole", [signature(b"", "one key"), TWICE])
def test_signature__breaks_off(whole: bytes, cut: bytes) -> None:
    """A signature without an end is refused, also behind one that has its end."""
    stump = whole[: whole.rindex(cut)]

    with pytest.raises(UpstreamBroken, match="breaks off"):
        parse(signed(WELL.encode()) + stump, clearsigned=True)
    with pytest.raises(UpstreamBroken, match="breaks off"):
        check_signature(stump)


def test_signature__binary() -> None:
    """What is no text says nothing of its end."""
    check_signature(b"\x89\x02\x33\n-----BEGIN")


@pytest.mark.parametrize("body", [b"", b"\n", b"<html>\n</html>", signature(b"").partition(b"\n")[2]])
def test_signature__none(body: bytes) -> None:
    """An empty file, or a page, is no signature."""
    with pytest.raises(UpstreamBroken, match="something other"):
        check_signature(body)


def test_digest() -> None:
    """A Release file's name is its sha256."""
    assert Digest("sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") == release.digest(b"")
