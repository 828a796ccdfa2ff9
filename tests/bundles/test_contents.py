"""What is in a bundle, and where."""

from __future__ import annotations

from proxy.bundles.contents import Distribution
from tests.bundles.packed import BODIES, DISTRIBUTIONS, METADATA, PAGE, SDIST, WHEEL, contents, entry, packed, sha256


def test_contents__order() -> None:
    """Sums first, then what is for people, pages, files, archives; each body where upstream has it."""
    assert [
        "SHA256SUMS",
        "apply.py",
        "README.txt",
        "find-links.html",
        "simple/demo/index.html",
        "simple/index.html",
        "pages/pypi/simple/demo/+page",
        "files/pypi/_/old/demo-0.9.tar.gz",
        "files/pypi/files.example/a/demo-1-py3-none-any.whl",
        "files/pypi/files.example/a/demo-1-py3-none-any.whl.metadata",
        "apt/deb.example/debian/dists/sid/InRelease",
        "apt/deb.example/debian/pool/main/d/demo/demo_1_all.deb",
    ] == [member.path for member in contents().members]


def test_contents__sums_are_of_all_but_the_manifest_and_themselves() -> None:
    """`sha256sum -c` finds a line for each."""
    made = contents()
    rest = made.members[1:]

    assert "".join(f"{one.sha256}  {one.path}\n" for one in rest).encode() == made.made["SHA256SUMS"]
    assert all(
        sha256(body) == next(m.sha256 for m in made.members if m.path == path) for path, body in made.made.items()
    )


def test_contents__one_body_under_several_names() -> None:
    """The same path and body is one member; a name by a digest belongs to the body; other paths are other members."""
    body = BODIES[WHEEL]
    keys = [WHEEL, "file:pypi:other:files.example:a/demo-1-py3-none-any.whl", f"digest:sha512={'a' * 128}", f"{WHEEL}x"]

    members = [one for one in packed([entry(key, body) for key in keys], {}).members if one.entries]

    assert [
        ("files/pypi/files.example/a/demo-1-py3-none-any.whl", 3),
        ("files/pypi/files.example/a/demo-1-py3-none-any.whlx", 1),
    ] == [(one.path, len(one.entries)) for one in members]


def test_contents__no_path_twice_and_no_file_is_a_folder() -> None:
    """A body whose path is taken is named by its digest."""
    bodies = {
        "file:pypi:demo:h:a": b"1",
        "file:pypi:demo:h:a/b": b"2",
        "file:pypi:other:h:a": b"3",
        "strange": b"4",
    }

    members = [one for one in contents(bodies).members if one.entries]

    assert {"files/pypi/h/a", *(f"other/{sha256(body)}" for body in (b"2", b"3", b"4"))} == {
        one.path for one in members
    }


def test_contents__what_an_earlier_bundle_has_stays_there() -> None:
    """The manifest lists it, and the sums do not; pages still link to it."""
    before = {(one.path, one.sha256) for one in contents({WHEEL: BODIES[WHEEL], PAGE: BODIES[PAGE]}).members}

    found = contents(before=before)

    gone = {one.path for one in found.members if one.elsewhere}
    assert {"files/pypi/files.example/a/demo-1-py3-none-any.whl", "pages/pypi/simple/demo/+page"} == gone & {
        one.path for one in found.members if one.entries
    }
    assert b"demo-1-py3-none-any.whl\n" not in found.made["SHA256SUMS"]
    assert b">demo-1-py3-none-any.whl<" in found.made["simple/demo/index.html"]


def test_contents__pages_list_distributions() -> None:
    """With what they require and where their metadata is; the same file of two indexes once."""
    twice = WHEEL.replace("pypi", "mirror")
    shown = {**DISTRIBUTIONS, twice: Distribution("demo", "demo-1-py3-none-any.whl")}
    made = packed(
        [entry(key, BODIES[WHEEL if key == twice else key]) for key in (WHEEL, METADATA, SDIST, twice)], shown
    ).made

    page = made["simple/demo/index.html"].decode()

    assert 2 == page.count("<a ")
    assert 'data-yanked="broken &amp; old"' in page
    assert '<a href="demo/">demo</a>' in made["simple/index.html"].decode()
    assert 2 == made["find-links.html"].decode().count('<a href="files/')
