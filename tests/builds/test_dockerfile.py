"""A Dockerfile as instructions, as BuildKit's front end reads it."""

from __future__ import annotations

import pytest

from proxy.builds.dockerfile import Dockerfile

_TEXT = """\
# syntax=docker/dockerfile:1
ARG BASE_IMAGE=python:3.12-slim
ARG VERSION
FROM ${BASE_IMAGE} AS Build
# a comment
RUN --mount=type=cache,id=pullthrough-pip,target=/var/cache/pip \\
    --mount=type=secret,id=pip,target=/etc/pip.conf,mode=0444 \\
    # a comment within, and an empty line

    pip install \\
      -r r.txt
ENV A=1 B="two words" C='x'
FROM scratch
COPY --from=build /opt /opt
FROM build AS last
RUN ["pip", "install", "x"]
from alpine:${VERSION:-3}
run true
"""


def test_read__stages_and_bases() -> None:
    """A stage that begins with another one, or with nothing, has no image of its own."""
    file = Dockerfile.read(_TEXT)

    assert ["python:3.12-slim", None, None, "alpine:3"] == [stage.base for stage in file.stages]
    assert ["build", "", "last", ""] == [stage.name for stage in file.stages]
    assert ["python:3.12-slim", "alpine:3"] == file.bases
    assert [6, 16, 18] == [run.line for run in file.runs]


def test_read__build_arguments() -> None:
    """They take the place of the defaults before the first FROM."""
    file = Dockerfile.read(_TEXT, {"BASE_IMAGE": "debian:12", "VERSION": "4", "OTHER": None})

    assert ["debian:12", "alpine:4"] == file.bases


def test_instruction__lines_and_flags() -> None:
    """Continued over comments and empty lines; flags are apart, and mounts are read."""
    run = Dockerfile.read(_TEXT).runs[0]

    assert ["pip", "install", "-r", "r.txt"] == run.text.split()
    assert [
        {"type": "cache", "id": "pullthrough-pip", "target": "/var/cache/pip"},
        {"type": "secret", "id": "pip", "target": "/etc/pip.conf", "mode": "0444"},
    ] == run.mounts


def test_instruction__form_of_a_list() -> None:
    """Its words are those of a shell's line."""
    assert ["pip", "install", "x"] == Dockerfile.read(_TEXT).runs[1].shell.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ENV A=1 B=\"two words\" C='x'", {"A": "1", "B": "two words", "C": "x"}),
        ("ENV NAME the whole rest", {"NAME": "the whole rest"}),
        ("ARG NAME", {"NAME": ""}),
        ("ARG NAME=value", {"NAME": "value"}),
        ("ENV EMPTY=", {"EMPTY": ""}),
        ("ENV URL https://host/simple?a=b", {"URL": "https://host/simple?a=b"}),
        ("ENV FLAGS A=1 B=2", {"FLAGS": "A=1 B=2"}),
        ('ENV A="x B=y" C=a\\ b', {"A": "x B=y", "C": "a\\ b"}),
        ("ARG A B=1 C", {"A": "", "B": "1", "C": ""}),
    ],
)
def test_instruction__what_it_sets(text: str, expected: dict[str, str]) -> None:
    """Both forms of ENV, and ARG with and without a default."""
    (stage,) = Dockerfile.read(f"FROM x\n{text}\n").stages

    assert expected == stage.instructions[0].assigned


def test_read__here_documents() -> None:
    """Their lines are no instructions; the instruction has them, and what follows is read again."""
    file = Dockerfile.read("FROM x\nRUN <<-EOF cat <<'B'\n\tpip install a\n\tEOF\nFROM y\nB\nRUN true\n")

    assert 1 == len(file.stages)
    assert [2, 7] == [run.line for run in file.runs]
    assert "pip install a" in file.runs[0].text
    assert "FROM y" in file.runs[0].text


def test_read__here_document_without_an_end() -> None:
    """The rest of the file belongs to it: the builder will say what is wrong."""
    assert 1 == len(Dockerfile.read("FROM x\nRUN <<EOF\nRUN true\n").runs)


def test_read__another_escape() -> None:
    """As in Dockerfiles for Windows, whose paths have backslashes."""
    file = Dockerfile.read("# escape=`\nFROM x\nRUN dir C:\\ `\n  && pip install a\nRUN true\n")

    assert [3, 5] == [run.line for run in file.runs]
    assert "pip install a" in file.runs[0].text


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# only a comment", "FROM", "RUN true", "\ufeffARG A", "ENV A=1 \\", "\\"]
)
def test_read__no_dockerfile(text: str) -> None:
    """It never fails: whether a file is right the builder says."""
    file = Dockerfile.read(text)

    assert [] == file.runs
    assert [] == file.bases


def test_read__digest_and_platform() -> None:
    """A base may have a flag, and a digest."""
    file = Dockerfile.read("FROM --platform=$BUILDPLATFORM python@sha256:12ab AS b\r\nRUN true\r\n")

    assert ["python@sha256:12ab"] == file.bases
    assert "true" == file.runs[0].text


def test_read__what_a_stage_begins_with() -> None:
    """Another stage, and the arguments that stand before all of them."""
    file = Dockerfile.read("ARG A=1\nARG B\nFROM x:$A AS one\nFROM One AS two\nFROM scratch\n", {"B": "2"})
    assert ["", "one", ""] == [stage.begins for stage in file.stages]
    assert {"A": "1", "B": "2"} == file.arguments


def test_instruction__list_of_words() -> None:
    """The words of a JSON list stay whole; what only looks like one is a shell's."""
    deep = "[" * 100_000
    text = f'FROM x\nRUN ["pip", "install", "a[x]>=1 b"]\nRUN [ -n "$A" ] && b\nRUN [1]\nRUN {deep}\n'
    assert ["pip install 'a[x]>=1 b'", '[ -n "$A" ] && b', "[1]", deep] == [
        run.shell for run in Dockerfile.read(text).runs
    ]


def test_read__here_string() -> None:
    """It is no here-document, and hides no instruction."""
    assert 2 == len(Dockerfile.read("FROM x\nRUN cat <<<a\nRUN b\n").runs)


@pytest.mark.parametrize(
    "line",
    [
        "RUN echo $((1<<BITS))",
        "RUN echo 'write <<EOF' and \"<<'EOF'\"",
        "RUN a <<  b",
        "RUN <<END-OF-FILE\nRUN no\nEND-OF-FILE",
        "RUN cat 3<<'two words' <<\"1\"\nRUN no\ntwo words\nRUN no\n1",
        "ONBUILD RUN <<EOF\nRUN no\nEOF",
        "COPY <<EOF /etc/pip.conf\nFROM no\nEOF",
    ],
)
def test_read__what_is_a_here_document(line: str) -> None:
    """A whole word of the shell with any name, as BuildKit has it: nothing that follows is lost, or taken for more."""
    file = Dockerfile.read(f"FROM x\n{line}\nRUN last\nFROM y\n")

    assert ["x", "y"] == [stage.base for stage in file.stages]
    assert "last" == file.runs[-1].text
    assert "RUN no" not in [f"{run.name} {run.text}" for run in file.runs]


def test_read__platform_in_the_name_of_a_stage() -> None:
    """BuildKit's own arguments are there without an ARG, and what somebody gives outranks them."""
    text = "FROM a AS base-amd64\nFROM b AS base-arm64\nFROM base-${TARGETARCH} AS last\nRUN true\nFROM c:$TARGETARCH\n"

    for platform in ("linux/arm64/v8", "arm64"):
        file = Dockerfile.read(text, platform=platform)
        assert ("base-arm64", "c:arm64") == (file.stages[2].begins, file.stages[3].base)
        assert ["b"] == file.run_bases


def test_read__value_where_another_is_set() -> None:
    """The form `${A:+text}` has the text only with a value."""
    text = "ARG SLIM=1\nFROM x:3${SLIM:+-slim}${NONE:+-full}\n"

    assert ["x:3-slim"] == Dockerfile.read(text).bases


def test_run_bases__images_that_have_a_shell() -> None:
    """Also by way of other stages. One from which only files are taken, or that only gets some, may have none."""
    file = Dockerfile.read(
        "FROM a AS one\nFROM one AS two\nRUN true\nFROM b\nCOPY --from=two / /\nFROM c AS c\nFROM c AS c\nRUN true\n"
    )

    assert ["a", "c"] == file.run_bases
    assert ["a", "b", "c"] == sorted(file.bases)
