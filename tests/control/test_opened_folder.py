"""The store of a folder on which no cache runs."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from proxy.bundles import verifying
from proxy.bundles.importing import Imported, ImportWish
from proxy.bundles.manifest import BadBundle
from proxy.bundles.manifest_file import read
from proxy.bundles.tar_file import TarFile
from proxy.config.settings import Settings
from proxy.control.explanation import ExplainWish
from proxy.control.export_wish import ExportWish
from proxy.control.opened_folder import OpenedFolder, is_data_folder
from proxy.control.protocol import CleanEnd, ControlError, VerifyEnd, Wish
from proxy.errors import StoreFull, StoreRefused
from tests.bundles.tars import bundle, entry, member
from tests.control.stores import fill, last
from tests.storage.disk import PLENTY, keep, opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that a cache left."""

    async def leave() -> None:
        async with opened(tmp_path / "data") as store:
            await fill(store)

    asyncio.run(leave())
    return tmp_path / "data"


def test_verbs__one_after_another(folder: Path) -> None:
    """As of a running cache, but nothing is known of clients; what was done is there the next time."""
    store = OpenedFolder.open(folder, PLENTY)
    try:
        assert (3, None) == (store.stats().files, store.stats(0).since)
        assert 1000 == store.plan(Wish(index="apt")).size
        assert VerifyEnd(3, 4200, 0, 0, 0, 0) == last(store.verify())
        assert CleanEnd(1, 1000, 0) == last(store.clean(Wish(index="apt")))
    finally:
        store.close()
        store.close()

    again = OpenedFolder.open(folder, PLENTY)
    try:
        assert 2 == again.stats().files
    finally:
        again.close()


def test_verify__not_to_the_end(folder: Path) -> None:
    """Whoever looks no further can close."""
    store = OpenedFolder.open(folder, PLENTY)
    messages = store.verify()
    next(messages)
    messages.close()  # type: ignore[attr-defined] # it is a generator
    store.close()


def test_open__no_cache_there(tmp_path: Path) -> None:
    """Nothing is made where nothing was."""
    with pytest.raises(ControlError, match="no cache in"):
        OpenedFolder.open(tmp_path / "data", PLENTY)

    assert not (tmp_path / "data").exists()


def test_open__in_use(folder: Path) -> None:
    """Two never work on one folder."""
    store = OpenedFolder.open(folder, PLENTY)
    try:
        with pytest.raises(StoreRefused, match="in use by process"):
            OpenedFolder.open(folder, PLENTY)
    finally:
        store.close()


def test_open__a_file_in_its_place(tmp_path: Path) -> None:
    """The reason is told, not that there is no cache."""
    (tmp_path / "data").write_text("?")

    assert is_data_folder(tmp_path / "data")
    with pytest.raises(StoreRefused, match="is a file and not a folder"):
        OpenedFolder.open(tmp_path / "data", PLENTY)


def test_explain__without_settings(folder: Path) -> None:
    """Only settings say what an address means."""
    with closing(OpenedFolder.open(folder, PLENTY)) as store, pytest.raises(ControlError, match="settings"):
        store.explain(ExplainWish("/pypi/"))


def test_export__a_bundle(folder: Path, tmp_path: Path) -> None:
    """Of a folder on which no cache runs."""
    steps = list[tuple[int, int]]()
    with closing(OpenedFolder.open(folder, PLENTY)) as store, (tmp_path / "bundle").open("wb") as file:
        store.export(ExportWish(), file.fileno(), lambda done, of: steps.append((done, of)))

    assert ((tmp_path / "bundle").stat().st_size,) * 2 == steps[-1]
    assert 3 == len([member for member in read(tmp_path / "bundle").members if member.entries])
    verifying.verify(tmp_path / "bundle")


def test_import__into_a_new_folder(tmp_path: Path) -> None:
    """The folder is made, and has what the tar had when it is opened again."""
    body = b"wheel" * 1000
    data = bundle((member("files/a.whl", body, "file:pypi:a::a.whl"), body))
    for done in (Imported(1, len(body), indexes=("pypi",)), Imported(here=1, indexes=("pypi",))):
        with closing(OpenedFolder.open(tmp_path / "new", 1 << 30, make=True)) as store:
            assert done == store.take_in([data[:700], data[700:]], ImportWish())


def test_import__of_a_file(tmp_path: Path) -> None:
    """Long bodies are taken out of the file itself; how far it is can be seen."""
    body, steps = os.urandom(6_000_000), list[tuple[int, int]]()
    path = tmp_path / "a.tar"
    path.write_bytes(bundle((member("files/a.whl", body, "file:pypi:a::a.whl"), body)))
    for done in (Imported(1, len(body), indexes=("pypi",)), Imported(here=1, indexes=("pypi",))):
        with closing(OpenedFolder.open(tmp_path / "new", 1 << 30, make=True)) as store, path.open("rb") as file:
            tar = TarFile(str(path), file.fileno(), lambda done, of: steps.append((done, of)))
            assert done == store.take_in(tar, ImportWish())
    assert (path.stat().st_size,) * 2 == steps[-1]
    with closing(OpenedFolder.open(tmp_path / "loose", 1 << 30, make=True)) as store, path.open("rb") as file:
        taken = store.take_in(TarFile(str(path), file.fileno()), ImportWish(loose=True))
        assert 2 == taken.files  # the manifest, too


@pytest.mark.parametrize(("settings", "unknown"), [(True, 2), (False, 0)])
def test_import__pages_in_place_of_others(tmp_path: Path, settings: bool, unknown: int) -> None:
    """Those of an index that the settings name are looked at, one after another: what is no page replaces none."""
    known = Settings(data=tmp_path) if settings else None
    brought = []
    for checked, body in (
        (1.0, b'{"meta": {"api-version": "1.0"}, "name": "a", "files": []}'),
        (2.0, b"<html>Sign in"),
    ):
        pages = [entry(f"page:pypi:{name}:simple/{name}/", body, checked) for name in ("a", "b")]
        brought.append(bundle((member("simple/a", body, *pages), body)))
    with closing(OpenedFolder.open(tmp_path / "data", 1 << 30, known, make=True)) as store:
        assert 1 == store.take_in([brought[0]], ImportWish()).files
        assert unknown == store.take_in([brought[1]], ImportWish()).unknown


def test_import__bound_of_another_shell(tmp_path: Path) -> None:
    """What was stored under a larger bound stays, and what comes is stored beside it, up to the bound that is set."""
    bodies = [os.urandom(100_000) for _ in range(40)]

    async def leave() -> None:
        async with opened(tmp_path) as store:
            for number, body in enumerate(bodies):
                await keep(store, f"file:pypi:{number}", body)

    asyncio.run(leave())
    brought = bundle((member("files/a.whl", b"wheel" * 1000, "file:pypi:a::a.whl"), b"wheel" * 1000))
    long = os.urandom(1_600_000)
    too_much = bundle((member("files/b.whl", long, "file:pypi:b::b.whl"), long))
    with closing(OpenedFolder.open(tmp_path, 1_500_000)) as store:
        assert 1 == store.take_in([brought], ImportWish()).files
        assert (41, 1_500_000) == (store.stats().files, store.stats().limit)
        with pytest.raises(StoreFull, match="holds 1,500,000 at most"):
            store.take_in([too_much], ImportWish())

    with closing(OpenedFolder.open(tmp_path, PLENTY)) as store:
        assert 41 == store.stats().files


def test_import__no_bundle(folder: Path) -> None:
    """What is wrong is what is raised, and the folder can be used on."""
    with closing(OpenedFolder.open(folder, 1 << 30)) as store:
        with pytest.raises(BadBundle, match="no tar"):
            store.take_in([b"text" * 1000], ImportWish())
        assert 3 == store.stats().files
