"""What a Dockerfile installs, and the lines that do not say it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from proxy.warming.dockerfiles import Steps, is_dockerfile, read
from proxy.warming.installers import FromArchive
from proxy.warming.requirement_files import Requirements
from proxy.warming.text_files import UnreadableFile

_ROOT = Path(__file__).parent.parent.parent
LOCK = """
version = 1
[[package]]
name = "demo"
version = "1.0"
source = { registry = "https://index.example/simple" }
wheels = [{ url = "https://files.example/demo-1.0-py3-none-any.whl", hash = "sha256:00" }]
"""


def of(folder: Path, text: str) -> Steps:
    """What a file with this text installs; the cache has one index."""
    path = folder / "Dockerfile"
    path.write_text(text, encoding="utf-8")
    return read(path, lambda url: "http://cache/own/" if url == "https://own.example/simple" else None)


def test_read(tmp_path: Path) -> None:
    """Packages of pip, uv and apt, with variables, files and indexes."""
    (tmp_path / "requirements.txt").write_text("flask>=3\n", encoding="utf-8")
    (tmp_path / "bounds.txt").write_text("flask<4\n", encoding="utf-8")
    found = of(
        tmp_path,
        "ARG VERSION=3.12\nFROM registry.example/python:${VERSION}-slim\nARG VERSION\nENV EXTRA=jq PIP_NO_CACHE_DIR=1\n"
        "RUN apt-get update && apt-get install -y --no-install-recommends curl $EXTRA && rm -rf /var/lib/apt/lists/*\n"
        "WORKDIR /app\nCOPY requirements.txt bounds.txt ./\n"
        "RUN pip install --extra-index-url https://own.example/simple -r requirements.txt -c bounds.txt gunicorn\n"
        'RUN UV_DEFAULT_INDEX=https://own.example/simple uv pip install ruff==$VERSION\nCOPY . .\nCMD ["x"]\n',
    )
    assert [] == found.unread
    assert ["3.12"] == found.pythons
    assert [FromArchive(("curl", "jq"), recommends=False)] == found.packages
    assert [
        Requirements(["gunicorn", "flask>=3"], ["flask<4"], ["http://cache/own/"]),
        Requirements(["ruff==3.12"], index="http://cache/own/", first=True),
    ] == found.requirements


def test_read__lock_file_and_project(tmp_path: Path) -> None:
    """Lock files of the working folder; a project's own requirements, with its build's."""
    (tmp_path / "uv.lock").write_text(LOCK, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\n[project]\nname = "own"\ndependencies = ["a"]\n'
        '[project.optional-dependencies]\nx = ["b"]\ny = ["c"]\n',
        encoding="utf-8",
    )
    found = of(
        tmp_path, "FROM a AS one\nWORKDIR /src\nCOPY . .\nFROM one\nRUN uv sync --frozen\nRUN pip install -e .[x]\n"
    )
    assert [] == found.unread
    assert ["demo"] == [package.name for lock in found.locks for package in lock.packages]
    assert [Requirements(["a", "hatchling", "b"])] == found.requirements


def test_read__archive_with_a_key(tmp_path: Path) -> None:
    """Sources that a RUN writes, and the keys that it fetches, or ADD."""
    found = of(
        tmp_path,
        "FROM a\nARG SUITE=stable\nADD https://keys.example/other.asc /etc/apt/keyrings/other.asc\n"
        "RUN curl -fsSL https://keys.example/linux/gpg | gpg --dearmor -o /k.gpg && \\\n"
        '    echo "deb [arch=amd64 signed-by=/k.gpg] https://archive.example/linux $SUITE main extra" > /s.list && \\\n'
        "    apt-get update && apt-get install -y demo-ce\n",
    )
    assert [] == found.unread
    assert ["https://keys.example/other.asc", "https://keys.example/linux/gpg"] == found.keys
    assert ["deb [arch=amd64 signed-by=/k.gpg] https://archive.example/linux stable main extra"] == found.sources
    assert [FromArchive(("demo-ce",))] == found.packages


def test_read__sources_as_publishers_write_them(tmp_path: Path) -> None:
    """An architecture that is known only there is left out; sources may be here-documents, or of deb822 form."""
    found = of(
        tmp_path,
        "FROM a\n"
        'RUN echo "deb [arch=$(dpkg --print-architecture) signed-by=/k.asc] https://a.example/x s main" > /a.list\n'
        "RUN cat <<end > /b.list\ndeb http://b.example/x s main\nend\n"
        "RUN cat <<end > /c.sources\nTypes: deb\nURIs: https://c.example/x\nSuites: s\nComponents: main\nend\n",
    )
    assert [] == found.unread
    assert [
        "deb https://a.example/x s main",
        "deb http://b.example/x s main",
        "deb https://c.example/x s main",
    ] == found.sources


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("RUN pip install $WHAT", "known only when it runs"),
        ("RUN pip install -r missing.txt", "missing.txt is not copied"),
        ("RUN pip install -r broken.txt", "not behind the cache"),
        ("RUN pip install -i https://other.example/ a", "not behind the cache"),
        ("RUN pip install .", "pyproject.toml"),
        ("RUN pip install ./dynamic", "known only when it is built"),
        ("RUN pip install ./wrong", "cannot be read"),
        ("RUN uv sync", "uv.lock is not copied"),
        ("RUN poetry install", "poetry.lock"),
        ("RUN ./setup.sh", "nobody can tell"),
        ("RUN npm ci", "nobody can tell"),
        ("RUN cat list | xargs apt-get install", "nobody can tell"),
        ("RUN $TOOL x", "nobody can tell"),
        ("RUN curl -O https://files.example/data.bin", "neither a package nor"),
        ("ADD https://files.example/data.bin /x", "neither a package nor"),
        ("RUN gpg --keyserver keys.example --recv-keys 00", "server of keys"),
        ('RUN echo "deb https://archive.example/ $(lsb_release -cs) main"', "known only when it runs"),
        ("RUN echo 'x", "cannot be read"),
    ],
)
def test_read__what_is_not_understood(tmp_path: Path, line: str, said: str) -> None:
    """Each is listed with its line and the reason; the others are read all the same."""
    (tmp_path / "broken.txt").write_text("-i https://other.example/simple\n", encoding="utf-8")
    (tmp_path / "poetry.lock").write_text("package = 5", encoding="utf-8")
    for name, text in (
        ("dynamic", 'project = {dynamic = ["dependencies"]}\nbuild-system = {requires = []}'),
        ("wrong", "="),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(text, encoding="utf-8")
    names = "broken.txt poetry.lock"
    found = of(
        tmp_path,
        f"FROM a\nCOPY {names} /\nCOPY dynamic /dynamic\nCOPY wrong /wrong\n# why\n{line}\nRUN pip install b\n",
    )
    (unread,) = found.unread
    assert 6 == unread.line
    assert said in str(unread)
    assert str(unread).startswith("line 6: ")
    assert [Requirements(["b"])] == found.requirements


def test_read__own_examples(tmp_path: Path) -> None:
    """The Dockerfiles of this project; what they make themselves is listed."""
    found = read(_ROOT / "Dockerfile", lambda _: None)
    assert ([], ["3.12"], 2) == (found.unread, found.pythons, len(found.requirements))
    shutil.copy(_ROOT / "Dockerfile.cached", tmp_path)
    (tmp_path / "requirements.txt").write_text("demo==1.0\n", encoding="utf-8")
    (tmp_path / "uv.lock").write_text(LOCK, encoding="utf-8")
    (tmp_path / "pyproject.toml").touch()
    found = read(tmp_path / "Dockerfile.cached", lambda _: None)
    assert Requirements(["demo==1.0"]) in found.requirements
    assert [FromArchive(("libgomp1",), recommends=False)] == found.packages
    assert 1 == len(found.locks)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dockerfile", True),
        ("Dockerfile.cached", True),
        ("app.dockerfile", True),
        ("Containerfile", True),
        ("requirements.txt", False),
        ("dockerfiles.py", False),
    ],
)
def test_is_dockerfile(name: str, expected: bool) -> None:
    """By its name."""
    assert expected is is_dockerfile(Path("x") / name)


def test_read__no_text(tmp_path: Path) -> None:
    """A file that is not there, or is no text."""
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read(tmp_path / "Dockerfile", lambda _: None)
    (tmp_path / "Dockerfile").write_bytes(b"\xff\xff")
    with pytest.raises(UnreadableFile, match="no text"):
        read(tmp_path / "Dockerfile", lambda _: None)


def test_read__too_large(tmp_path: Path) -> None:
    """Nobody writes such a file."""
    with pytest.raises(UnreadableFile, match="more than"):
        of(tmp_path, "# x\n" * 300_000)


@pytest.mark.parametrize(
    ("bases", "pythons", "musl"),
    [
        (["python:3.12-alpine"], ["3.12"], True),
        (["docker.example/library/python:3.11.9-slim", "alpine:3"], ["3.11.9"], False),
        (["registry.example/uv:python3.13-bookworm-slim"], ["3.13"], False),
        (["debian:stable"], [], False),
        (["scratch"], [], False),
    ],
)
def test_read__base_images(tmp_path: Path, bases: list[str], pythons: list[str], musl: bool) -> None:
    """What their names tell."""
    found = of(tmp_path, "".join(f"FROM {base}\n" for base in bases))
    assert (pythons, musl) == (found.pythons, found.musl)


def test_read__lists_of_words(tmp_path: Path) -> None:
    """A RUN that is a JSON list: its words are what they are, and no shell's."""
    found = of(
        tmp_path,
        'FROM x\nRUN ["pip", "install", "a[x]>=1", "b"]\n'
        'RUN ["/bin/sh", "-c", "pip install c && apt-get install -y d"]\n',
    )
    assert [Requirements(["a[x]>=1", "b"]), Requirements(["c"])] == found.requirements
    assert ([FromArchive(("d",))], []) == (found.packages, found.unread)


def test_read__lock_file_as_requirements(tmp_path: Path) -> None:
    """pip and uv take a lock file in the place of requirements."""
    (tmp_path / "pylock.toml").write_text('lock-version = "1.0"\ncreated-by = "x"\npackages = []\n', encoding="utf-8")
    found = of(
        tmp_path, "FROM x\nCOPY pylock.toml /x/\nRUN uv pip sync /x/pylock.toml && pip install -r /x/pylock.toml\n"
    )
    assert (2, [], []) == (len(found.locks), found.requirements, found.unread)


def test_read__what_does_not_run_here(tmp_path: Path) -> None:
    """What runs where others build on the image, and names that no package has, are listed."""
    found = of(tmp_path, "FROM x\nONBUILD RUN pip install a\nONBUILD COPY . .\nRUN apt-get install -y 'php8.2-*' Bad\n")
    assert ([2, 4], []) == ([one.line for one in found.unread], found.packages)


def test_read__which_files_count(tmp_path: Path) -> None:
    """What is built from its source is warmed as that."""
    found = of(tmp_path, "FROM x\nRUN pip install --no-binary a a\n")
    assert [Requirements(["a"], options=["--no-binary", "a"])] == found.requirements


def test_read__indexes_of_variables(tmp_path: Path) -> None:
    """pip and uv each have their own."""
    own, there = "https://own.example/simple", "http://cache/own/"
    found = of(
        tmp_path,
        f"FROM x\nENV PIP_INDEX_URL={own} UV_INDEX=name={own}\nRUN pip install a\nRUN uv pip install b\n"
        f"RUN pip install --index-url {own} c\n",
    )
    assert [
        Requirements(["a"], index=there),
        Requirements(["b"], indexes=[there], first=True),
        Requirements(["c"], index=there),
    ] == found.requirements


def test_read__mount_without_a_type(tmp_path: Path) -> None:
    """It is a bind, as BuildKit has it."""
    (tmp_path / "requirements.txt").write_text("a\n", encoding="utf-8")
    found = of(tmp_path, "FROM x\nRUN --mount=target=/src,source=. pip install -r /src/requirements.txt\n")
    assert ([Requirements(["a"])], []) == (found.requirements, found.unread)


def test_read__into_a_folder_that_is_there(tmp_path: Path) -> None:
    """A COPY into the working folder needs no slash at its end; the letters of options may stand together."""
    (tmp_path / "requirements.txt").write_text("a\n", encoding="utf-8")
    found = of(tmp_path, "FROM x\nWORKDIR /app\nCOPY requirements.txt /app\nRUN pip install -qUr requirements.txt\n")
    assert ([Requirements(["a"])], []) == (found.requirements, found.unread)


def test_read__project_that_does_not_say(tmp_path: Path) -> None:
    """What else the command installs is warmed all the same, with what the project's build requires."""
    (tmp_path / "requirements.txt").write_text("a\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[build-system]\nrequires = ["b"]\n', encoding="utf-8")
    found = of(tmp_path, "FROM x\nCOPY . .\nRUN pip install -r requirements.txt .\n")
    assert [Requirements(["a", "b"])] == found.requirements
    assert ["line 3"] == [str(one).partition(":")[0] for one in found.unread]
