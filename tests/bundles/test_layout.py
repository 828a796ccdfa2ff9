"""Where a bundle has what, by keys of all forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.bundles.layout import page_of, path_of, sound, spare

_DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("page:pypi:six:simple/six/", "pages/pypi/simple/six/+page"),
        ("page:torch::whl/torch_stable.html", "pages/torch/whl/torch_stable.html"),
        ("page:torch::", "pages/torch/+page"),
        ("removed:pypi:six:simple/six/", "pages/pypi/simple/six/+page+removed"),
        ("file:pypi:six:files.example:a/six-1.tar.gz", "files/pypi/files.example/a/six-1.tar.gz"),
        ("file:pypi:six::a/six-1.tar.gz", "files/pypi/_/a/six-1.tar.gz"),
        ("file:pypi:six:files.example/8080:a:b/six.zip", "files/pypi/files.example+8080/a:b/six.zip"),
        ("file:pypi:six::a\\b/six-1.tar.gz", "files/pypi/_/a%2Fb/six-1.tar.gz"),
        ("apt:file:http://deb.example/debian/pool/c/curl_7.deb", "apt/deb.example/debian/pool/c/curl_7.deb"),
        ("apt:document:https://deb.example:444/key.asc", "apt/deb.example+444/key.asc"),
        ("apt:release:http://deb.example/debian/dists/sid/:InRelease", "apt/deb.example/debian/dists/sid/InRelease"),
        (f"apt:signature:http://d.example/dists/sid/:{_DIGEST}", "apt/d.example/dists/sid/Release.gpg"),
        (f"apt:index:http://d.example:80/s/:{_DIGEST}:main/Packages.xz", "apt/d.example+80/s/main/Packages.xz"),
        (f"apt:index:http://d.example/:{_DIGEST}:Packages", "apt/d.example/Packages"),
    ],
)
def test_path__is_that_of_upstream(key: str, path: str) -> None:
    """Files are where upstream has them, and a suite is a suite for apt."""
    assert path == path_of(key)


@pytest.mark.parametrize(
    "key",
    [
        f"digest:sha512={_DIGEST}",
        "apt:private:http://a.example/b",
        "apt:file:ftp://a.example/b",
        "apt:file",
        "page:pypi",
        "file:pypi:six:x",
        "file:pypi:six:../../etc:passwd/../..",
        "file:pypi:six::a//b",
        "file:pypi:six::",
        f"file:pypi:six::{'a' * 256}",
        "file:..:six::a",
        "",
    ],
)
def test_path__is_none_where_the_key_gives_no_plain_one(key: str) -> None:
    """Such a body is named by its digest."""
    assert path_of(key) is None
    assert sound(spare(_DIGEST))


@given(st.text(), st.sampled_from(["page", "removed", "file", "apt:file", "apt:index", "apt:release", "apt:signature"]))
def test_path__never_leads_outside(text: str, form: str) -> None:
    """Whatever a key is, the path is a plain one."""
    for key in (f"{form}:{text}", f"{form}:a:b:c:{text}", f"{form}:http://{text}", f"{form}:http://h/{text}"):
        path = path_of(key)
        assert path is None or sound(path)


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\\b", "a\0", "a\nb", "\udcff", "a" * 256]
)
def test_sound__refuses_what_is_no_plain_file(path: str) -> None:
    """Nothing absolute, nothing that leads outside, nothing that some system reads otherwise."""
    assert not sound(path)


def test_sound__takes_what_indexes_have() -> None:
    """Plus signs, colons, tildes, other scripts."""
    assert sound("files/pypi/_/a+b~1:2/é-1.whl")
    assert "simple/six/index.html" == page_of("six")
