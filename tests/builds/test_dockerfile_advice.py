"""What of a Dockerfile goes past the cache."""

from __future__ import annotations

import pytest

from proxy.builds.dockerfile import Dockerfile
from proxy.builds.dockerfile_advice import (
    declares_http_proxy,
    fetches_plain_http,
    of_image,
    past_the_cache,
    wants_http_proxy,
)

_PIP = "--mount=type=secret,id=pip,target=/etc/pip.conf,mode=0444 "
_UV = "--mount=type=secret,id=uv,target=/etc/uv/uv.toml,mode=0444 "
_APT = "--mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/01pullthrough,mode=0444 "


def _file(*lines: str) -> Dockerfile:
    return Dockerfile.read("\n".join(("FROM debian", *lines)) + "\n")


@pytest.mark.parametrize(
    "line",
    [
        f"RUN {_PIP}pip install -r r.txt",
        f"RUN {_UV}uv pip install -r r.txt",
        f"RUN {_UV}uv export --frozen --no-emit-project -o r.txt && uv pip sync --require-hashes r.txt",
        f"RUN {_APT}apt-get update && apt-get install -y git",
        "RUN pip --version && echo pip",
        "RUN pip install --no-index --find-links /wheels x",
        "RUN apt-get update",
        "RUN echo install; python -m venv /opt/venv",
        "ENV PIP_INDEX_URL=",
        "ENV PIP_DISABLE_PIP_VERSION_CHECK=1",
        "ARG PIP_INDEX_URL",
        "ARG PIP_INDEX_URL=https://x\nENV PIP_INDEX_URL=",
        f"RUN {_PIP}pip install --extra-index-url http://pullthrough:3142/pytorch/whl/cpu x",
        f"RUN {_PIP}pip install --find-links ./wheels x",
        f"RUN {_PIP}unset PIP_INDEX_URL UV_X; pip install x",
        f"RUN {_PIP}env -u PIP_INDEX_URL pip install x",
        f"RUN {_PIP}PIP_INDEX_URL= pip install x",
        f"RUN {_PIP}export PIP_INDEX_URL=''; pip install x",
    ],
)
def test_past_the_cache__nothing(line: str) -> None:
    """With the secrets, without an index, or nothing is installed: there is nothing to say."""
    assert [] == past_the_cache(_file(line))


@pytest.mark.parametrize(
    ("line", "text", "remedy"),
    [
        ("RUN pip install x", "pip goes past the cache", "--mount=type=secret,id=pip,target=/etc/pip.conf,mode=0444"),
        ("RUN python3 -m pip install x", "pip goes past the cache", "target=/etc/pip.conf"),
        ("RUN /opt/venv/bin/pip3.12 --quiet install x", "pip goes past the cache", "id=pip"),
        ('RUN ["pip", "install", "x"]', "pip goes past the cache", "id=pip"),
        ("RUN uv pip install x", "uv goes past the cache", "id=uv,target=/etc/uv/uv.toml"),
        ("RUN uvx ruff", "uv goes past the cache", "id=uv"),
        ("RUN --mount=type=secret,id=pip pip install x", "pip does not read its secret there", "target=/etc/pip.conf"),
        (f"RUN {_PIP}pip install --index-url https://x y", "--index-url overrides the secret file", "Leave it out"),
        (f"RUN {_UV}uv sync --frozen", "uv sync fetches from the addresses in uv.lock", "uv pip sync --require-hashes"),
        (f"RUN {_UV}uv sync --no-dev --locked", "uv sync fetches from the addresses in uv.lock", "uv export"),
        ("RUN poetry install", "poetry install goes past the cache", "docs/clients.md"),
        ("RUN --mount=type=secret,id=apt apt-get update", "apt does not read its secret there", "01pullthrough"),
        ("ENV PIP_INDEX_URL=https://x", "ENV PIP_INDEX_URL: it overrides the secret file of pip", "ENV PIP_INDEX_URL="),
        ("ENV UV_DEFAULT_INDEX=https://x", "it overrides the secret file of uv", "ENV UV_DEFAULT_INDEX="),
        ("ENV PIP_EXTRA_INDEX_URL=https://x", "pip asks that index, too", "ENV PIP_EXTRA_INDEX_URL="),
        ("ENV PIP_NO_CACHE_DIR=1", "pip fills no cache mount", "ENV PIP_NO_CACHE_DIR="),
        ("ENV http_proxy=http://x", "does not reach the cache", "no_proxy"),
        ("ARG PIP_INDEX_URL=https://x", "ARG PIP_INDEX_URL: it overrides the secret file of pip", "ENV PIP_INDEX_URL="),
        ("ENV PIP_INDEX_URL https://x/?a=b", "ENV PIP_INDEX_URL: it overrides", "ENV PIP_INDEX_URL="),
        (
            f"RUN {_PIP}pip install --extra-index-url https://x y",
            "--extra-index-url names an index that is asked, too",
            "A group",
        ),
        (
            f"RUN {_PIP}pip install x -f 'https://x/torch_stable.html'",
            "-f names an index that is asked, too",
            "docs/docker.md",
        ),
        (f"RUN {_UV}uv pip install --index=https://x y", "--index names an index that is asked, too", "A group"),
        (f"RUN {_PIP}PIP_INDEX_URL=https://x pip install y", "PIP_INDEX_URL overrides the secret file", "Leave it out"),
        (
            f"RUN {_PIP}pip config set global.index-url https://x && pip install y",
            "index-url overrides",
            "Leave it out",
        ),
    ],
)
def test_past_the_cache__one_line_each(line: str, text: str, remedy: str) -> None:
    """What goes past, in which line, and what to write instead."""
    (advice,) = past_the_cache(_file(line))

    assert 2 == advice.line
    assert text in advice.text
    assert remedy in advice.remedy
    assert str(advice) == f"line 2: {advice.text}. {advice.remedy}"


def test_past_the_cache__arguments_that_a_person_gives() -> None:
    """An ARG has the value of the command, else its own, else that before the first FROM. Not of proxies."""
    text = "ARG UV_INDEX=https://x\nFROM a\nARG UV_INDEX\nARG PIP_INDEX_URL\nARG http_proxy\n"
    given = {"PIP_INDEX_URL": "https://y", "http_proxy": "http://z"}

    assert ["ARG UV_INDEX"] == [one.text.partition(":")[0] for one in past_the_cache(Dockerfile.read(text))]
    assert [3, 4] == [one.line for one in past_the_cache(Dockerfile.read(text, given))]
    assert [] == past_the_cache(Dockerfile.read(text, given | {"UV_INDEX": "", "PIP_INDEX_URL": ""}))


def test_past_the_cache__all_stages() -> None:
    """The first stage is as good as the last."""
    file = Dockerfile.read("FROM a AS b\nRUN pip install x\nFROM b\nRUN uv pip install y && pip install z\n")

    assert [(2, "pip"), (4, "pip"), (4, "uv")] == [
        (one.line, one.text.partition(" ")[0]) for one in past_the_cache(file)
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("RUN apt-get update && apt-get install -y git", True),
        ("RUN apt install -y git", True),
        ("RUN apt-get -o A=b -y install git", True),
        (f"RUN {_APT}apt-get update", False),
        ("RUN apt-get clean", False),
        ("RUN pip install apt-thing", False),
    ],
)
def test_wants_http_proxy__apt_without_a_secret(line: str, wanted: bool) -> None:
    """Then the predefined argument brings apt to the cache, and nothing else is needed."""
    assert wanted is wants_http_proxy(_file(line))


def test_http_proxy__what_stands_against_it() -> None:
    """An ARG of that name makes it a part of keys; curl and wget would ask the cache for any file."""
    assert declares_http_proxy(_file("ARG http_proxy"))
    assert declares_http_proxy(_file("ARG HTTP_PROXY=x"))
    assert not declares_http_proxy(_file("ARG other"))
    assert [3] == fetches_plain_http(_file("RUN curl https://x/http", "RUN wget -q http://x/y"))


def test_of_image__variables_of_the_base() -> None:
    """They are named with the image; what is empty or harmless is not."""
    found = of_image({"PATH": "/bin", "PIP_CONSTRAINT": "/etc/pip/constraint.txt", "UV_INDEX": ""}, "nvcr/pytorch")

    assert ["nvcr/pytorch sets PIP_CONSTRAINT: pip installs only what that file of the image allows"] == [
        advice.text for advice in found
    ]
    assert str(found[0]).startswith("nvcr/pytorch sets")
