"""The real Docker engine, and the base images of the tests: no registry is asked for anything.

Used by the end-to-end tests only. An engine has to run; continuous integration starts one (`.ci/run`). Base images are
made of the machine's own release by debootstrap and imported under the names that the files ask for, unless the engine
has images of these names already.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.e2e.clients import Failed
from tests.e2e.systems import release

# Debian's own client: another one may be first on the path.
DOCKER = next((path for path in ("/usr/bin/docker", "/usr/local/bin/docker") if Path(path).exists()), "docker")
PYTHON_IMAGE = "python:3.12-slim"  # the default of Dockerfile.cached; here with the Python of the machine's release
BUSYBOX_IMAGE = "busybox:latest"
_PACKAGES = "python3,python3-venv,python-is-python3,ca-certificates"
_AUTHORITIES = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
_LIMIT = 600.0  # seconds that one run may take
_LOCK = Path(tempfile.gettempdir()) / f"pullthrough-images-{os.geteuid()}.lock"


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended, and all that it said: standard output and standard error together."""

    status: int
    output: str


def obstacle() -> str:
    """Why nothing can be built here and what to do, or nothing."""
    try:
        done = docker("version", "--format", "{{.Server.Version}}")
    except FileNotFoundError:
        return "these tests need Docker: apt-get install docker.io, and start dockerd"
    return "" if done.status == 0 else f"these tests need a running Docker engine: {done.output.strip()}"


def docker(
    *arguments: str,
    environment: Mapping[str, str] = MappingProxyType({}),
    folder: Path | None = None,
    standard_input: bytes | None = None,
) -> Done:
    """Run Docker's client with BuildKit. It never fails a test by itself."""
    done = subprocess.run(
        [DOCKER, *arguments],
        env={**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain", **environment},
        cwd=folder,
        input=standard_input,
        stdin=subprocess.DEVNULL if standard_input is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_LIMIT,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(errors="replace"))


def must(*arguments: str, folder: Path | None = None) -> str:
    """Run Docker's client; gives what it said. Raises Failed with that if it ends with an error."""
    done = docker(*arguments, folder=folder)
    if done.status:
        raise Failed(f"docker {' '.join(arguments)}\nended with {done.status}:\n{done.output}")
    return done.output


def python_image(name: str = PYTHON_IMAGE) -> str:
    """The smallest Debian that has apt and Python, under this name; it trusts whom this machine trusts."""
    with _one_at_a_time():
        if not _has(name):
            _import_python(name)
    return name


def busybox_image(name: str = BUSYBOX_IMAGE) -> str:
    """A shell and nothing else, under this name."""
    program = shutil.which("busybox")
    if program is None:
        raise Failed("these tests need a static busybox: apt-get install busybox-static")
    with _one_at_a_time(), tempfile.TemporaryDirectory() as place:
        if not _has(name):
            root = Path(place)
            for folder in ("bin", "tmp", "etc", "usr"):
                (root / folder).mkdir()
            shutil.copy(program, root / "bin/busybox")
            for applet in subprocess.run(
                [program, "--list"], capture_output=True, text=True, check=True
            ).stdout.split():
                if applet != "busybox":
                    (root / "bin" / applet).symlink_to("busybox")
            import_folder(root, name, 'CMD ["/bin/sh"]')
    return name


def import_folder(root: Path, name: str, *changes: str) -> None:
    """Make an image of a folder. `changes`: instructions of a Dockerfile, as in `docker import --change`."""
    options = [option for change in changes for option in ("--change", change)]
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        done = subprocess.run(
            [DOCKER, "import", *options, "-", name], stdin=tar.stdout, capture_output=True, text=True, check=False
        )
    if done.returncode or tar.returncode:
        raise Failed(f"docker import {name} ended with {done.returncode}: {done.stderr}")


def image_names() -> set[str]:
    """The images that the engine has, as `name:tag`."""
    return set(must("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split())


@contextlib.contextmanager
def image_files(name: str, folder: Path) -> Iterator[Path]:
    """The file system of an image, unpacked in `folder`."""
    container = must("create", name, "/nothing").strip()
    try:
        tar = folder / "image.tar"
        must("export", "--output", str(tar), container)
        root = folder / "image"
        root.mkdir()
        subprocess.run(["tar", "-C", str(root), "-xf", str(tar), "--exclude=./dev/*"], check=True)
        tar.unlink()
        yield root
    finally:
        must("rm", container)
        shutil.rmtree(folder / "image", ignore_errors=True)


def _has(name: str) -> bool:
    return docker("image", "inspect", name).status == 0


def _import_python(name: str) -> None:
    source, sources = release()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        root = Path(place) / "root"
        keys = ["--keyring", source.signed_by] if source.signed_by.startswith("/") else []
        command: Sequence[str] = (
            *("debootstrap", "--variant=minbase", "--force-check-gpg", f"--include={_PACKAGES}"),
            *(*keys, source.suite, str(root), source.address),
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
        if done.returncode:
            raise Failed(f"debootstrap ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        (root / "etc/apt/sources.list.d/test.sources").write_text(
            "\n".join(one.stanza() for one in sources), encoding="utf-8"
        )
        shutil.copy(_AUTHORITIES, root / "etc/ssl/certs/ca-certificates.crt")
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        # As the official images: apt keeps no package.
        (root / "etc/apt/apt.conf.d/docker-clean").write_text(
            'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n', encoding="utf-8"
        )
        import_folder(root, name, "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", 'CMD ["python3"]')


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Several processes of tests ask for the same images."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
