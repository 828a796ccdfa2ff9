"""The command line, as a process."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli import cli
from proxy.config.naming import flag, settings_fields
from proxy.options import is_switch
from tests.system import several_addresses

_COMMAND = (sys.executable, "-m", "proxy")
_ROOT = Path(__file__).parent.parent
_TOML = '[[upstream]]\nmount = "pypi"\nurl = "http://127.0.0.1:9/"\nindex = "simple/"\n'
_LIMIT = 30  # seconds: only for a process that hangs


def _environ(home: Path, **variables: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": path, "COLUMNS": "200", **variables}


def _run(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_COMMAND, *arguments],
        cwd=home,
        env=_environ(home, **variables),
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )


@contextlib.contextmanager
def _server(
    home: Path, *arguments: str, toml: str = _TOML, stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    (home / "pullthrough.toml").write_text(toml, encoding="utf-8")
    with subprocess.Popen(
        [*_COMMAND, "serve", "--port=0", *arguments],
        cwd=home,
        env=_environ(home),
        stdout=subprocess.PIPE,
        stderr=stderr,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _greeting(process: subprocess.Popen[bytes]) -> str:
    """What the server says until it is ready."""
    assert process.stderr is not None
    said = b""
    while b"Ctrl-C" not in said and select.select([process.stderr], [], [], _LIMIT)[0]:
        chunk = os.read(process.stderr.fileno(), 65536)
        if not chunk:
            break
        said += chunk
    return said.decode()


def test_version__names_the_program(tmp_path: Path) -> None:
    """`--version` goes to standard output."""
    result = _run(tmp_path, "--version")

    assert 0 == result.returncode
    assert re.fullmatch(r"pullthrough \d+\.\d+\.\d+\n", result.stdout)


def test_help__has_a_flag_for_each_setting(tmp_path: Path) -> None:
    """Whatever can be set can be set by a flag that `--help` explains."""
    result = _run(tmp_path, "serve", "--help")

    words = result.stdout.split()
    exits = "EXIT STATUS: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."
    assert 0 == result.returncode
    assert [] == [flag(path) for path, _ in settings_fields() if flag(path) not in words]
    assert exits in " ".join(words)
    assert result.stdout == _run(tmp_path, "serve", "-h").stdout


_WITH_VALUES = [path for path, field in settings_fields() if path != ("data",) and not is_switch(path, field)]


@pytest.mark.parametrize("path", _WITH_VALUES, ids=flag)
def test_serve__each_flag_reaches_its_setting(path: tuple[str, ...]) -> None:
    """What is wrong with a flag's value is said by the name of that very flag."""
    result = CliRunner().invoke(cli, ["serve", "--print-config", f"{flag(path)}=\n"])

    assert 2 == result.exit_code
    assert f"pullthrough: {flag(path)}: must be" in result.stderr


@pytest.mark.parametrize(("flags", "shown"), [(["--offline"], "true"), (["--no-offline"], "false"), ([], "false")])
def test_serve__switch(flags: list[str], shown: str) -> None:
    """A switch has no value."""
    result = CliRunner().invoke(cli, ["serve", "--print-config", *flags])
    assert 0 == result.exit_code
    assert re.search(rf"^offline = {shown}\b", result.stdout, re.MULTILINE)


def test_print_config__shows_values_and_origins(tmp_path: Path) -> None:
    """It ends without serving; nothing but the settings is on standard output, and no folder is made."""
    result = _run(tmp_path, "serve", "--print-config", "--port=0", "--data=kept", PULLTHROUGH_DISK="5 GB")

    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert (0, "") == (result.returncode, result.stderr)
    assert "port = 0 # flag --port" in lines
    assert 'disk = "5 GB" # environment PULLTHROUGH_DISK' in lines
    assert f'data = "{tmp_path}/kept" # flag --data' in lines
    assert not (tmp_path / "kept").exists()


def test_serve__every_wrong_setting_in_one_go(tmp_path: Path) -> None:
    """One line for each, on standard error, and status 2."""
    result = _run(tmp_path, "serve", "--port=abc", "--fetch-segment=1", PULLTHROUGH_DISC="1 GB")

    assert (2, "") == (result.returncode, result.stdout)
    assert [
        "pullthrough: PULLTHROUGH_DISC: no such setting; did you mean PULLTHROUGH_DISK?",
        "pullthrough: --port: must be a whole number",
        "pullthrough: --fetch-segment: must be greater than or equal to 65536",
    ] == result.stderr.splitlines()


def test_serve__credentials_that_are_not_there(tmp_path: Path) -> None:
    """The variable to set is named before anything is opened, with status 2; `--print-config` does not need it."""
    (tmp_path / "pullthrough.toml").write_text(_TOML + 'credentials = "env:HOUSE_INDEX"\n', encoding="utf-8")

    missing = _run(tmp_path, "serve", "--port=0", "--data=kept")
    wrong = _run(tmp_path, "serve", "--port=0", "--data=kept", HOUSE_INDEX="hunter2")
    shown = _run(tmp_path, "serve", "--print-config")

    line = "pullthrough: credentials of the upstream pypi: set the variable HOUSE_INDEX to user:password\n"
    assert [(2, "", line)] * 2 == [(result.returncode, result.stdout, result.stderr) for result in (missing, wrong)]
    assert (0, "") == (shown.returncode, shown.stderr)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("arguments", [("serve", "--prot=1"), ("sevre",), ()])
def test_usage__wrong_or_none(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What the command line does not know ends with status 2."""
    assert 2 == _run(tmp_path, *arguments).returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve__until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """The address that is printed answers, the lines for pip and uv name it, and a signal ends it with status 0."""
    with _server(tmp_path) as process:
        said = _greeting(process)
        (base_url,) = re.findall(r"serves at (http://127\.0\.0\.1:\d+)", said)
        with urllib.request.urlopen(f"{base_url}/healthz", timeout=_LIMIT) as answer:
            status = answer.status
        process.send_signal(number)
        code = process.wait(timeout=_LIMIT)

    assert 200 == status
    assert f"export PIP_INDEX_URL={base_url}/pypi/simple/\n" in said
    assert f"export UV_DEFAULT_INDEX={base_url}/pypi/simple/\n" in said
    assert 0 == code


def test_serve__terminal_that_is_closed(tmp_path: Path) -> None:
    """It ends in order, as after Ctrl-C; with `nohup` it goes on."""
    with _server(tmp_path, f"--data={tmp_path / 'd'}") as process:
        _greeting(process)
        process.send_signal(signal.SIGHUP)
        assert 0 == process.wait(timeout=_LIMIT)
        assert not (tmp_path / "d" / "control.sock").exists()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _server(tmp_path, f"--data={tmp_path / 'd'}") as process:
            (base_url,) = re.findall(r"serves at (http://127.0.0.1:\d+)", _greeting(process))
            process.send_signal(signal.SIGHUP)
            _answers(f"{base_url}/healthz", process)
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(timeout=_LIMIT)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve__nobody_reads_standard_error(tmp_path: Path, number: signal.Signals) -> None:
    """A pipe without room for a byte keeps nothing waiting: not the start, not requests, not the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _full_pipe() as full, _server(tmp_path, f"--port={port}", stderr=full) as process:
        url = f"http://127.0.0.1:{port}"
        _until_open(port)
        for _ in range(3):
            with urllib.request.urlopen(f"{url}/healthz", timeout=_LIMIT) as answer:
                assert 200 == answer.status
        process.send_signal(number)
        assert 0 == process.wait(timeout=_LIMIT)


@contextlib.contextmanager
def _full_pipe() -> Iterator[int]:
    """The end of a pipe that has no room for a byte."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        for piece in (b"x" * 4096, b"x"):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writer, piece)
        os.set_blocking(writer, True)
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


def _until_open(port: int) -> None:
    """Wait for a server that says nothing."""
    for _ in range(10 * _LIMIT):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), _LIMIT).close()
            return
        time.sleep(0.1)


def test_serve__without_standard_error(tmp_path: Path) -> None:
    """A process that was given none serves all the same."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "pullthrough.toml").write_text(_TOML, encoding="utf-8")
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *_COMMAND, "serve", f"--port={port}"]
    with subprocess.Popen(command, cwd=tmp_path, env=_environ(tmp_path), stdout=subprocess.DEVNULL) as process:
        try:
            _until_open(port)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_LIMIT) as answer:
                assert 200 == answer.status
            process.terminate()
            assert 0 == process.wait(timeout=_LIMIT)
        finally:
            process.kill()


def test_serve__address_in_use(tmp_path: Path) -> None:
    """One line says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = _run(tmp_path, "serve", f"--port={port}")

    assert 1 == result.returncode
    assert (
        f"pullthrough: 127.0.0.1, port {port}: in use by another program. Stop it, or choose another port with --port "
        "(0 takes any free one).\n"
    ) == result.stderr


def test_serve__address_of_another_machine(tmp_path: Path) -> None:
    """An address that is not this machine's is named."""
    result = _run(tmp_path, "serve", "--host=192.0.2.1", "--port=0")

    assert 1 == result.returncode
    assert [
        "pullthrough: 192.0.2.1: is not an address of this machine. Choose one with --host, such as 127.0.0.1."
    ] == result.stderr.splitlines()


@several_addresses
def test_serve__several_addresses(tmp_path: Path) -> None:
    """The greeting names each, and its lines the first; each answers."""
    with _server(tmp_path, "--host=127.0.0.1,127.0.0.2") as process:
        said = _greeting(process)
        (first, second) = re.findall(r"http://127\.0\.0\.\d:\d+", said.splitlines()[0])
        for base_url in (first, second):
            with urllib.request.urlopen(f"{base_url}/healthz", timeout=_LIMIT) as answer:
                assert 200 == answer.status

    assert (first, second) == (first, first.replace("127.0.0.1", "127.0.0.2"))
    assert f"export PIP_INDEX_URL={first}/pypi/simple/\n" in said


def test_serve__one_of_several_addresses_is_not_here(tmp_path: Path) -> None:
    """The one is named; nothing is served at the others."""
    result = _run(tmp_path, "serve", "--host=127.0.0.1,192.0.2.1", "--port=0")

    assert 1 == result.returncode
    assert [
        "pullthrough: 192.0.2.1: is not an address of this machine. Choose one with --host, such as 127.0.0.1."
    ] == result.stderr.splitlines()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_serve__every_address(tmp_path: Path) -> None:
    """Clients of both kinds are served, and the log has their addresses as they are."""
    with _server(tmp_path, "--host=::") as process:
        said = _greeting(process)
        (port,) = re.findall(r"serves at http://\[::\]:(\d+)", said)
        for host in ("127.0.0.1", "[::1]"):
            with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=_LIMIT) as answer:
                assert 200 == answer.status
        process.terminate()
        assert process.stderr is not None
        log = process.stderr.read().decode()

    assert ["127.0.0.1", "::1"] == re.findall(r'"client": "([^"]*)"', log)


def test_serve__data_folder_is_a_file(tmp_path: Path) -> None:
    """A data folder that cannot be used is named in one line, with what to do."""
    (tmp_path / "taken").write_text("", encoding="utf-8")

    result = _run(tmp_path, "serve", "--port=0", f"--data={tmp_path / 'taken'}")

    (line,) = result.stderr.splitlines()
    assert 1 == result.returncode
    assert str(tmp_path / "taken") in line


def test_serve__data_folder_in_use(tmp_path: Path) -> None:
    """A second process with the same data folder says so in one line."""
    with _server(tmp_path) as process:
        _greeting(process)

        result = _run(tmp_path, "serve", "--port=0")

    (line,) = result.stderr.splitlines()
    assert 1 == result.returncode
    assert str(tmp_path / ".cache" / "pullthrough") in line


def test_serve__index_written_twice(tmp_path: Path) -> None:
    """A url that holds the index already is refused with the line to write; a written index is served, with a hint."""
    entry = '[[upstream]]\nmount = "house"\nurl = "http://127.0.0.1:9/simple/"\n'
    (tmp_path / "pullthrough.toml").write_text(entry, encoding="utf-8")

    refused = _run(tmp_path, "serve", "--port=0")
    with _server(tmp_path, toml=f'{entry}index = "simple/"\n') as process:
        said = _greeting(process)
    with _server(tmp_path, toml=f'{entry}index = ""\n') as process:
        quiet = _greeting(process)

    (line,) = refused.stderr.splitlines()
    assert 2 == refused.returncode
    assert line.startswith(f"pullthrough: {tmp_path / 'pullthrough.toml'}: upstream #1: url ends in simple/")
    assert 'Write index = "" beside this url, or write url = "http://127.0.0.1:9/".' in line
    assert said.startswith("pullthrough: the upstream house: url ends in simple/, and index begins with it:")
    assert 'write index = "".' in said
    assert quiet.startswith("pullthrough serves at ")


def _shell(home: Path, line: str) -> tuple[int, str]:
    """The exit status of a line for a shell in which `"$@"` is the command, and what it says on standard error."""
    done = subprocess.run(
        ["bash", "-c", line, "bash", *_COMMAND],
        cwd=home,
        env=_environ(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
@pytest.mark.parametrize(
    "words", ["help", "--help", "--version", "serve --print-config", "stats --json", "setup --print"]
)
def test_output__that_is_full(tmp_path: Path, words: str) -> None:
    """A disk without room for the output is named as that, once, and is no fault of the data folder."""
    with _server(tmp_path, f"--data={tmp_path / '.cache' / 'pullthrough'}") as process:
        _greeting(process)
        full = _shell(tmp_path, f'"$@" {words} >/dev/full')

    assert full == (1, "pullthrough: standard output: No space left on device.\n")


@pytest.mark.parametrize("words", ["help", "stats --json", "setup --print"])
def test_output__whose_reader_is_gone(tmp_path: Path, words: str) -> None:
    """`| head` that has read enough is nothing to be told of."""
    with _server(tmp_path, f"--data={tmp_path / '.cache' / 'pullthrough'}") as process:
        _greeting(process)
        gone = _shell(tmp_path, f'"$@" {words} | true; exit "${{PIPESTATUS[0]}}"')

    assert gone == (1, "")


@pytest.mark.parametrize(("words", "status"), [("help", 0), ("stats", 0), ("clean --all --json", 0), ("import -", 1)])
def test_streams__that_are_closed(tmp_path: Path, words: str, status: int) -> None:
    """Who starts a verb without standard streams gets its exit status, as with `/dev/null` in their place."""
    with _server(tmp_path, f"--data={tmp_path / '.cache' / 'pullthrough'}") as process:
        _greeting(process)
        in_and_out = _shell(tmp_path, f'"$@" {words} <&- >&-')
        all_three = _shell(tmp_path, f'"$@" {words} <&- >&- 2>&-')

    assert "Traceback" not in in_and_out[1]
    assert (status, status) == (in_and_out[0], all_three[0])


def test_output__in_another_encoding(tmp_path: Path) -> None:
    """What the user's encoding does not have is written as Python does, and ends nothing."""
    (tmp_path / "żółć").mkdir()
    (tmp_path / "żółć" / "format").write_text("1\n", encoding="utf-8")

    done = _run(tmp_path, "stats", "--data=żółć", PYTHONIOENCODING="ascii")

    assert (0, True) == (done.returncode, r"/\u017c\xf3\u0142\u0107: 0 files" in done.stdout), done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_greeting__can_be_pasted(tmp_path: Path, host: str) -> None:
    """The lines that are set in are one piece of shell, with the address, and the host where pip has to trust it."""
    with _server(tmp_path, f"--host={host}") as process:
        said = _greeting(process)
    (port,) = re.findall(r"serves at http://[0-9.]+:(\d+)", said)
    place = socket.gethostname() if host == "0.0.0.0" else host
    show = 'pip() { printf "%s\\n" "$*"; }; uv() { pip "$@"; }; sudo() { cat; }\n'
    block = "".join(line for line in said.splitlines(keepends=True) if line.startswith("  "))

    done = subprocess.run(
        ["sh", "-u"],
        input=f'{show}{block}\npip "$PIP_INDEX_URL" "${{PIP_TRUSTED_HOST-}}" "$UV_DEFAULT_INDEX"\n',
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )

    index = f"http://{place}:{port}/pypi/simple/"
    trusted = "" if host == "127.0.0.1" else place
    assert "" == done.stderr
    assert [
        f"install --index-url {index} {f'--trusted-host {trusted} ' if trusted else ''}PACKAGE",
        f"pip install --default-index {index} PACKAGE",
        f'Acquire::http::Proxy "http://{place}:{port}/"; Acquire::https::Proxy "DIRECT";',
        f"{index} {trusted} {index}",
    ] == done.stdout.splitlines()


def test_serve__settings_of_nothing(tmp_path: Path) -> None:
    """`--config /dev/null` is a file without settings: it starts, and takes no other file in its place."""
    toml = "port = 'not read'\n"
    with _server(tmp_path, "--config=/dev/null", toml=toml) as process:
        assert _greeting(process).startswith("pullthrough serves at ")


def test_serve__nobody_reads_what_it_says(tmp_path: Path) -> None:
    """A standard error that is closed at once is no reason not to serve: the port is open until a signal comes."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with _server(tmp_path, f"--port={port}") as process:
        assert process.stderr is not None
        process.stderr.close()
        _answers(f"http://127.0.0.1:{port}/healthz", process)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(timeout=_LIMIT)


def _answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the address answers 200; fail when the process ends."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None:
        with contextlib.suppress(OSError), opener.open(url, timeout=_LIMIT) as answer:
            assert answer.status == 200
            return
    raise AssertionError(f"the server ended with {process.returncode}")


def test_serve__announcing_without_its_library(tmp_path: Path) -> None:
    """An install without the extra says what is missing and how to get it; nothing is opened."""
    (tmp_path / "zeroconf.py").write_text("raise ModuleNotFoundError('no', name='zeroconf')\n", encoding="utf-8")

    result = _run(tmp_path, "serve", "--port=0", "--apt-announce=true", PYTHONPATH=f"{tmp_path}:{_ROOT}")

    (line,) = result.stderr.splitlines()
    assert 1 == result.returncode
    assert "apt.announce" in line
    assert line.endswith(f"{sys.executable} -m pip install zeroconf ifaddr")
    assert not (tmp_path / ".cache").exists()


def test_cli__imports_no_server() -> None:
    """`--help` and wrong settings are answered without loading the server's libraries."""
    heavy = "{'aiohttp', 'diskcache', 'prometheus_client', 'pypi_simple', 'requests', 'rich'}"
    script = f"import sys, proxy.cli; print(sorted({heavy} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=True)

    assert "[]" == result.stdout.strip()


@pytest.mark.parametrize("verb", ["export", "importing", "stats", "verify"])
def test_cli__verbs_load_what_they_need(verb: str) -> None:
    """A verb that looks at a folder loads neither Docker's library nor that of the metrics."""
    heavy = {"aiohttp", "docker", "prometheus_client", "requests", "selectolax"}
    heavy |= {"rich"} if verb in {"export", "importing", "verify"} else set()  # they draw only on a terminal
    script = f"import sys, proxy.cli, proxy.commands.{verb}; print(sorted({heavy} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=True)

    assert "[]" == result.stdout.strip()


_WINDOWS = """
import sys
import pydantic_settings, typer  # what they need of the real system is looked up before the name changes
sys.platform = "win32"
sys.modules.update(dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios")))
from proxy.cli import main
main()
"""


@pytest.mark.parametrize(("arguments", "expected"), [(["serve"], 1), (["--help"], 0), (["--version"], 0)])
def test_cli__windows(arguments: list[str], expected: int) -> None:
    """A system that cannot run the program gets one line that says what to do; help is there all the same."""
    result = subprocess.run(
        [sys.executable, "-c", _WINDOWS, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )

    assert expected == result.returncode
    assert "Traceback" not in result.stderr
    if expected:
        (line,) = result.stderr.splitlines()
        assert "WSL" in line


def test_healthcheck__of_a_server(tmp_path: Path) -> None:
    """It ends with 0 while the server runs and with 1 after it; the address comes from flags, variables or the file."""
    with _server(tmp_path) as process:
        port = re.search(r"127\.0\.0\.1:(\d+)", _greeting(process))
        assert port is not None
        by_flag = _run(tmp_path, "healthcheck", f"--port={port[1]}")
        by_variable = _run(tmp_path, "healthcheck", PULLTHROUGH_PORT=port[1], PULLTHROUGH_HOST="0.0.0.0")
    afterwards = _run(tmp_path, "healthcheck", f"--port={port[1]}")

    serves = (0, f"http://127.0.0.1:{port[1]} serves: ok\n", "")
    assert [serves, serves] == [(one.returncode, one.stdout, one.stderr) for one in (by_flag, by_variable)]
    assert (1, "") == (afterwards.returncode, afterwards.stderr)


def test_healthcheck__wrong_settings(tmp_path: Path) -> None:
    """Each wrong setting has its line, with status 2."""
    result = _run(tmp_path, "healthcheck", "--port=abc")

    assert (2, "pullthrough: --port: must be a whole number\n") == (result.returncode, result.stderr)
