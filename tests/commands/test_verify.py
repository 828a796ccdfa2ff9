"""`pullthrough verify`, as a process: what is damaged goes, everything else stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.bundles.verifying import VerifiedBundle
from proxy.commands.verify import bundle_summary, damaged, summary, verify_bundle
from proxy.control.protocol import NamedFile, VerifyEnd
from tests.bundles.packed import write
from tests.commands.stored import FILES, GOLDEN, Machine, file_of, fill, filled
from tests.conftest import MakeProxy
from tests.origin import Origin

_DAMAGED = "file:pypi:torch::packages/ab/torch-2.6.0-cp312-none-any.whl"


def test_summary__golden_text() -> None:
    """Each thing that can come out, in a line of its own."""
    ends = (VerifyEnd(2000, 1_790_000_000, 0, 0, 0, 0), VerifyEnd(7, 2_587_000, 1, 2, 3, 1))
    lines = [line for end in ends for line in (*summary(end), "")]
    lines.append(damaged(NamedFile("torch-2.7.1-cp312-none-any.whl", "pypi", "file", 821_000_000)))

    assert (GOLDEN / "verify.txt").read_text(encoding="utf-8") == "".join(f"{line}\n" for line in lines)


async def test_verify__everything_is_right(machine: Machine) -> None:
    """Nothing is changed."""
    await filled(machine.data)

    result = await machine.run("verify")

    assert (0, "Verified 7 files, 258.7 kB.\nEverything is what was stored.\n", "") == (
        result.status,
        result.out,
        result.err,
    )


async def test_verify__running_cache_with_a_damaged_file(
    machine: Machine, make_proxy: MakeProxy, origin: Origin
) -> None:
    """The file goes, with its entry, and is named; it will be fetched again."""
    running = await make_proxy(origin.url)
    await fill(running.store)
    file = file_of(machine.data, _DAMAGED)
    file.write_bytes(b"x" * file.stat().st_size)

    result = await machine.run("verify")

    assert (0, "") == (result.status, result.err)
    assert "damaged: torch-2.6.0-cp312-none-any.whl (pypi, 80.0 kB)" == result.out.splitlines()[0]
    assert "Removed 1 damaged file: fetched again when asked for." in result.out
    assert running.store.find(_DAMAGED) is None
    await running.store.flush()
    assert not file.exists()
    assert len(FILES) - 1 == len(running.store.keys(""))


async def test_verify__as_json(machine: Machine) -> None:
    """A line for each step, the end last."""
    await filled(machine.data)
    file = file_of(machine.data, _DAMAGED)
    file.write_bytes(b"short")

    result = await machine.run("verify", "--json")

    steps = [json.loads(line) for line in result.out.splitlines()]
    assert 0 == result.status
    assert {"Progress", "DamagedFile", "VerifyEnd"} == {step["type"] for step in steps}
    assert ("VerifyEnd", 1) == (steps[-1]["type"], steps[-1]["damaged"])


async def test_verify__no_cache(machine: Machine) -> None:
    """One line; no folder is made."""
    result = await machine.run("verify")

    assert (1, "", 1) == (result.status, result.out, len(result.err.splitlines()))
    assert not machine.data.exists()


def test_verify_bundle__for_people_and_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No cache is there; a damaged bundle fails, and the member is named."""
    bundle = write(tmp_path)
    assert 0 == verify_bundle(str(bundle), json=False)
    said = capsys.readouterr().out
    assert said.startswith("Verified 12 files, ")
    assert said.endswith(" kB: the bundle is what it says.\n")
    assert 0 == verify_bundle(str(bundle), json=True)
    assert 12 == json.loads(capsys.readouterr().out)["files"]

    body = bytearray(bundle.read_bytes())
    body[body.index(b"wheelwheel")] ^= 1
    bundle.write_bytes(body)

    assert 1 == verify_bundle(str(bundle), json=False)
    assert "demo-1-py3-none-any.whl is damaged" in capsys.readouterr().err


def test_bundle_summary__of_a_delta() -> None:
    """It says that another bundle is needed."""
    assert "It follows another one, which has 2 files of it." == bundle_summary(VerifiedBundle(1.0, 1, 1, 2))[1]
