"""What a person names, as what is to be resolved and what is to be fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.errors import WrongUsage
from proxy.warming.archives import Packages, archive_file
from proxy.warming.choice import Chosen
from proxy.warming.requirement_files import Requirements
from proxy.warming.text_files import UnreadableFile
from proxy.warming.wishes import AptWish, Wishes, gather

SOURCE = "http://mirror.example/debian stable main"
THROUGH = "deb [trusted=yes] http://cache:3142/mirror.example/debian stable main"


class Cache:
    """A cache that has no index but its own."""

    cache = "http://cache:3142"
    usual = "http://cache:3142/usual/"

    def on_cache(self, index: str) -> str | None:
        """None: it has not."""
        own = {"": self.cache, "https://usual.example/": self.usual, "https://own.example/": "http://cache:3142/own/"}
        return own.get(index)


def named(*wanted: str, apt: AptWish | None = None) -> Wishes:
    """What these arguments come to."""
    return gather(wanted, apt or AptWish(), Cache())


def test_gather__requirements(tmp_path: Path) -> None:
    """Requirements and files of them are resolved together."""
    path = tmp_path / "requirements.txt"
    path.write_text("a==1.0\n", encoding="utf-8")
    bom = tmp_path / "bom.json"
    bom.write_text('{"bomFormat": "CycloneDX", "components": [{"purl": "pkg:pypi/c@3"}]}', encoding="utf-8")
    assert [Requirements(["b>=2", "a==1.0", "c==3"])] == named("b>=2", str(path), str(bom)).distributions
    assert [] == named().distributions


def test_gather__file_with_an_index_of_its_own(tmp_path: Path) -> None:
    """It is resolved apart: the rest is not from there. The usual index in its place changes nothing."""
    for name, text in (("own.txt", "-i https://own.example/\na\n"), ("usual.txt", "-i https://usual.example/\nb\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = named(str(tmp_path / "own.txt"), str(tmp_path / "usual.txt"), "c")
    assert [Requirements(["a"], index="http://cache:3142/own/"), Requirements(["b", "c"])] == found.distributions


def test_gather__left_out(tmp_path: Path) -> None:
    """What is from no index, and a file that names nothing, are said."""
    for name, text in (("requirements.txt", "./x\n"), ("empty.txt", "# nothing\n"), ("uv.lock", "version = 1\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    bom = tmp_path / "bom.json"
    purls = [{"purl": "pkg:pypi/a@1?vcs_url=git%2Bhttps://git.example/a"}]
    bom.write_text(json.dumps({"bomFormat": "CycloneDX", "components": purls}), encoding="utf-8")
    paths = [str(tmp_path / name) for name in ("requirements.txt", "empty.txt", "uv.lock", "bom.json")]
    found = named(*paths, "b @ https://files.example/b.whl")
    assert {"./x", paths[1], paths[2], "a==1", "b @ https://files.example/b.whl"} == {
        one.what for one in found.left_out
    }
    assert not [one for one in found.distributions if isinstance(one, Requirements)]


def test_gather__other_indexes(tmp_path: Path) -> None:
    """An SBOM may name the index of a component, which the cache has to have."""
    bom = tmp_path / "bom.json"
    purls = [{"purl": "pkg:pypi/a@1?repository_url=https://index.example/simple"}]
    bom.write_text(json.dumps({"bomFormat": "CycloneDX", "components": purls}), encoding="utf-8")
    with pytest.raises(UnreadableFile, match="not behind the cache"):
        named(str(bom))


def test_gather__files() -> None:
    """Files of the index by name, and of archives by address."""
    found = named(
        "Demo_x-1.0-py3-none-any.whl",
        "demo-1.0.tar.gz",
        "https://keys.example/a.asc",
        "http://mirror.example/pool/x_1_all.deb",
    )
    assert [
        Chosen("demo-x", "1.0", "Demo_x-1.0-py3-none-any.whl", {}),
        Chosen("demo", "1.0", "demo-1.0.tar.gz", {}),
        archive_file("https://keys.example/a.asc"),
        archive_file("http://mirror.example/pool/x_1_all.deb"),
    ] == found.files


def test_gather__packages() -> None:
    """Names of packages, several in one text."""
    apt = AptWish(("curl jq", "git"), (SOURCE,), "arm64", recommends=False)
    assert [Packages(("curl", "jq", "git"), (THROUGH,), "arm64", recommends=False)] == named(apt=apt).packages
    assert [] == named(apt=AptWish((), (SOURCE,))).packages


def test_gather__dockerfile(tmp_path: Path) -> None:
    """With its packages, if it is said where its image has them from."""
    path = tmp_path / "Dockerfile"
    path.write_text(
        "FROM python:3.12\nRUN pip install a && apt-get install -y curl && nonsense\n"
        "ADD https://keys.example/a.asc /a\nRUN echo 'deb https://a.example/x stable main' > /x\n",
        encoding="utf-8",
    )
    without = named(str(path))
    assert ([Requirements(["a"])], ["3.12"], []) == (without.distributions, without.pythons, without.packages)
    assert [archive_file("https://keys.example/a.asc")] == without.files
    assert 2 == len(without.unread)
    assert "--apt-source" in without.unread[1]
    found = named(str(path), apt=AptWish(sources=(SOURCE,)))
    own = "deb [trusted=yes] http://cache:3142/HTTPS///a.example/x stable main"
    assert [Packages(("curl",), (THROUGH, own))] == found.packages
    assert 1 == len(found.unread)


def test_gather__dockerfile_with_a_password(tmp_path: Path) -> None:
    """It is not shown."""
    path = tmp_path / "Dockerfile"
    path.write_text(
        "FROM python:3.12\nRUN wget https://user:secret@a.example/x.sh\n"
        f"RUN ./get https://user:secret{'x' * 80}@a.example/\n",
        encoding="utf-8",
    )
    unread = named(str(path)).unread
    assert ["https://a.example/x.sh" in one for one in unread] == [True, False]
    assert not any("secret" in one for one in unread)


@pytest.mark.parametrize("text", ["https://me:secret@a.example/x", "git+https://me:secret@a.example/x.txt"])
def test_gather__address_with_a_password(text: str) -> None:
    """It is not shown where it is refused."""
    with pytest.raises(WrongUsage) as refused:
        named(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["requirements.txt", "uv.lock", "pylock.toml", "bom.json", "Dockerfile", "x.in"])
def test_gather__file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """It is not taken for a project of that name, which anybody may publish."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongUsage, match="no such file"):
        named(text)


@pytest.mark.parametrize("text", ["no such file", "x.whl", "x.tar.gz", "http://", "https://a.example/../x"])
def test_gather__wrong(text: str) -> None:
    """It is said what may be named."""
    with pytest.raises(WrongUsage):
        named(text)


def test_gather__requirement_that_is_long() -> None:
    """It is longer than the name of any file may be."""
    text = "demo>=1 ; " + " or ".join(f"python_version == '3.{minor}'" for minor in range(20))
    assert [Requirements([text])] == named(text).distributions
