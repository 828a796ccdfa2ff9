"""Case (k): `uv pip compile` of large real sets, through a cache and without one, from an index that is near."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from bench import public_index
from bench.fronts import Front
from bench.installers import Installers, memory
from bench.line import NEAR
from bench.public_index import SIMPLE, PublicIndex
from bench.results import DIRECT, OURS, Row
from proxy.config.builtin import simple_endpoint

if TYPE_CHECKING:
    from bench.bed import Bed

# What is locked together, by the name of its rows.
SETS = {
    "dbt, great-expectations, superset": ("dbt-bigquery", "great-expectations", "apache-superset"),
    "airflow": ("apache-airflow[amazon,celery,postgres]",),
    "ray, mlflow, jupyterlab": ("ray[default]", "mlflow", "jupyterlab"),
}
# Its older releases are source distributions of 100 MB, into which uv would look one after another.
_WHEELS_ONLY = ("apache-superset",)
ITSELF = "PyPI itself"
NGINX = "nginx"  # a cache that answers with hardly any work: what is left is uv's own time
COLD, WARM, RESTARTED = "cold", "warm", "warm after a restart"


def lock(bed: Bed) -> None:
    """(k) Seconds to lock each set, the server's processor seconds, and whether all lock files are the same."""
    if obstacle := bed.missing.get("pip") or public_index.obstacle():
        bed.results.leave_out("k", obstacle)
        return
    with memory(bed.folder) as folder, PublicIndex(bed.kept / "index", NEAR, bed.number("public")) as index:
        installers = Installers(bed.peers, folder)
        for name in bed.scale.locked:
            installers.lock(index.near + SIMPLE, SETS[name], _WHEELS_ONLY)
        for _ in range(bed.scale.repetitions):
            for name in bed.scale.locked:
                _turn(bed, installers, index, name)


def _turn(bed: Bed, installers: Installers, index: PublicIndex, name: str) -> None:
    row, what = Row("k", f"{name}: {COLD}", DIRECT), SETS[name]
    folder, others = bed.number("locks"), bed.number("locks")
    bed.rest()
    itself = row._replace(server=ITSELF)
    with bed.failing(itself):
        ran, _ = installers.lock(simple_endpoint(), what, _WHEELS_ONLY)
        bed.results.add(itself, seconds=ran.seconds, client=ran.cpu, pinned=ran.count)
    try:
        with bed.failing(row):
            ran, direct = installers.lock(index.url + SIMPLE, what, _WHEELS_ONLY)
            bed.results.add(row, seconds=ran.seconds, client=ran.cpu, pinned=ran.count)
            for states in ((COLD, WARM), (RESTARTED,)):
                with Front(OURS, folder, index.url, bed.peers) as front:
                    for state in states:
                        _through(bed, installers, front, Row("k", f"{name}: {state}", OURS), direct)
            if NGINX not in bed.missing:
                with Front(NGINX, others, index.url, bed.peers) as front:
                    for state in (COLD, WARM):
                        _through(bed, installers, front, Row("k", f"{name}: {state}", NGINX), direct)
    finally:
        for used in (folder, others):
            shutil.rmtree(used, ignore_errors=True)


def _through(bed: Bed, installers: Installers, front: Front, row: Row, direct: str) -> None:
    """Lock the set of a row through a cache; `direct` is the lock file that was made without one."""
    before = front.process.cpu()
    ran, text = installers.lock(front.index, SETS[row.variant.rpartition(":")[0]], _WHEELS_ONLY)
    cpu = front.process.cpu() - before
    different = float(text != direct)
    bed.results.add(row, seconds=ran.seconds, client=ran.cpu, server=cpu, different=different)
    if text != direct:
        (bed.kept / "direct.lock").write_text(direct, encoding="utf-8")
        (bed.kept / "cached.lock").write_text(text, encoding="utf-8")
        bed.results.note(row, "another lock file than without the cache")
