"""What a command would install, by its words."""

from __future__ import annotations

import pytest

from proxy.warming.installers import FromArchive, FromIndex, FromLock, Installed, Nothing, Unread, installed
from proxy.warming.shell_commands import commands


def found(text: str) -> Installed | None:
    """What one command installs."""
    (command,) = commands(text, {})
    return installed(command)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pip install flask 'gunicorn[x]>=2'", FromIndex(("flask", "gunicorn[x]>=2"))),
        ("pip3.12 install --upgrade --no-cache-dir pip", FromIndex(("pip",))),
        ("python3 -m pip install -q a", FromIndex(("a",))),
        ("/opt/venv/bin/python -m pip --python /x install a", FromIndex(("a",))),
        ("uv pip install --system --python 3.12 a", FromIndex(("a",), first=True)),
        (
            "pip install -r a.txt --requirement=b.txt -rc.txt -c d.txt",
            FromIndex(files=(("a.txt", False), ("b.txt", False), ("c.txt", False), ("d.txt", True))),
        ),
        (
            "pip install -qUr a.txt -Uc d.txt -qqrb.txt -vv",
            FromIndex(files=(("a.txt", False), ("d.txt", True), ("b.txt", False))),
        ),
        ("uv pip sync --require-hashes locked", FromIndex((), (("locked", False),), first=True)),
        ("pip install -e . ./b[x] --target /t", FromIndex((), (), (".", "./b[x]"))),
        (
            "pip install --extra-index-url https://a.example/ -i https://b.example/ a",
            FromIndex(("a",), indexes=("https://a.example/",), index="https://b.example/"),
        ),
        (
            "uv pip install --index name=https://a.example/ a",
            FromIndex(("a",), indexes=("https://a.example/",), first=True),
        ),
        ("uvx ruff@0.14 check", FromIndex(("ruff==0.14",), first=True)),
        ("uv tool install --from 'ruff>=1' ruff", FromIndex(("ruff>=1",), first=True)),
        ("pip download -d /x a", FromIndex(("a",))),
        (
            "pip install --pre --no-binary b,c --only-binary=:all: a",
            FromIndex(
                ("a",),
                options=(
                    *("--prerelease", "allow"),
                    *("--no-binary", "b", "--no-binary", "c"),
                    *("--only-binary", ":all:"),
                ),
            ),
        ),
        ("uv sync --frozen --project /src", FromLock("uv.lock", "/src")),
        ("uv run pytest", FromLock("uv.lock")),
        ("apt-get install -y 'curl=7.88.*'", FromArchive(("curl=7.88.*",))),
        ("poetry install --no-root", FromLock("poetry.lock")),
        ("pdm sync", FromLock("pdm.lock")),
        (
            "apt-get install -y --no-install-recommends curl libc6:arm64 jq=1.6",
            FromArchive(("curl", "libc6:arm64", "jq=1.6"), recommends=False),
        ),
        ("apt -qq install -o APT::Install-Recommends=false curl", FromArchive(("curl",), recommends=False)),
        ("apt-get install -t stable-backports curl nano-", FromArchive(("curl",), release="stable-backports")),
        ("apt-get -q=2 install -yt stable-backports curl", FromArchive(("curl",), release="stable-backports")),
        ("apt-get install -y -t=stable-backports curl", FromArchive(("curl",), release="stable-backports")),
        ("apt-get update", Nothing()),
        ("apt-get install -y", Nothing()),
        ("pip install --no-index --find-links /w a", Nothing()),
        ("pip --version", Nothing()),
        ("pip check", Nothing()),
        ("uv venv /opt/venv", Nothing()),
        ("uv --version", Nothing()),
        ("python -m venv /opt/venv", Nothing()),
        ("curl https://files.example/x", None),
        ("python setup.py install", None),
        ("python -m build", None),
    ],
)
def test_installed(text: str, expected: Installed | None) -> None:
    """Requirements, files of them, projects, lock files, packages, nothing, or no installer at all."""
    assert expected == found(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pip install $WHAT", "known only when it runs"),
        ("pip install -r $FILE", "known only when it runs"),
        ("pip install -f /wheels a", "no index"),
        ("pip install git+https://git.example/x", "no index"),
        ("pip install 'a @ https://files.example/a.whl'", "no index"),
        ("pip install /tmp/a-1.0-py3-none-any.whl", "no index"),
        ("pip install a-1.0-py3-none-any.whl", "no index"),
        ("uv python install 3.12", "not known here"),
        ("uv sync --project $X", "known only when it runs"),
        ("poetry add x", "something else"),
        ("apt-get upgrade -y", "depends on what the image has"),
        ("apt-get install $PACKAGES", "known only when it runs"),
        ("apt-get install ./x.deb", "no archive"),
    ],
)
def test_installed__unread(text: str, said: str) -> None:
    """It is said why that is not known."""
    unread = found(text)
    assert isinstance(unread, Unread)
    assert said in unread.why


@pytest.mark.parametrize("text", ["uv run --with rich pytest", "uv sync --with=x", "pip install --group dev a"])
def test_installed__more_than_is_named(text: str) -> None:
    """What is not among the words is not left out silently."""
    assert isinstance(found(text), Unread)
