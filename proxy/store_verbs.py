"""The verbs that look after a store, and their options; nothing else. `cli` has all verbs.

Each finds the store by its data folder: of a cache that runs, or of none.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from proxy import options
from proxy.options import EXIT_STATUS, ConfigFile, DataFolder

verbs = typer.Typer()


@verbs.command(epilog=EXIT_STATUS)
def stats(  # noqa: PLR0913 - each is an option
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch a line for each look.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds until interrupted.")] = False,
    docker: Annotated[
        bool, typer.Option("--docker", help="Also what Docker's images, build layers and cache mounts take.")
    ] = False,
    largest: Annotated[
        int,
        typer.Option("--largest", metavar="NUMBER", min=0, max=10_000, help="How many of the largest files to list."),
    ] = 10,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Show what is stored, by index and kind, and what that saved."""
    place = options.data_place(os.environ, config, data)
    from proxy.commands import stats as command  # noqa: PLC0415 - its libraries take a moment to load

    raise typer.Exit(command.stats(command.StatsFlags(place, json, watch, docker, largest), os.environ))


@verbs.command(epilog=EXIT_STATUS)
def who(  # noqa: PLR0913 - each is an option
    wanted: Annotated[
        str, typer.Argument(metavar="WHAT", help="PROJECT, PROJECT==VERSION, a file's name, a pattern, or a sha256.")
    ],
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Not longer ago than this, as in 7d.")
    ] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="ADDRESS", help="Only this client.")] = None,
    most: Annotated[int, typer.Option("--most", metavar="NUMBER", min=1, max=100_000, help="Rows to list.")] = 1000,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Show which clients got a project, a version or a file, when, and whether it is still stored."""
    place = options.data_place(os.environ, config, data)
    from proxy.commands import who as command  # noqa: PLC0415 - its libraries take a moment to load

    raise typer.Exit(command.who(command.WhoFlags(place, wanted, since, client, most, json), os.environ))


@verbs.command(epilog=EXIT_STATUS)
def explain(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="An address of the cache, whole or from its slash on, or one upstream.")
    ],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Show what a request for an address would come to, and why, without asking upstream."""
    place = options.data_place(os.environ, config, data)
    from proxy.commands import explain as command  # noqa: PLC0415 - its libraries take a moment to load

    raise typer.Exit(command.explain(command.ExplainFlags(place, url, json), os.environ))


@verbs.command(epilog=EXIT_STATUS)
def clean(  # noqa: PLR0913 - each is an option
    *,
    index: Annotated[
        str | None, typer.Option("--index", metavar="MOUNT", help="Of this index; apt, or a host, for archives.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Of this project, or Debian package.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Of this version of the project.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help="Fetched or confirmed longer ago, as in 30d.")
    ] = None,
    larger_than: Annotated[
        str | None, typer.Option("--larger-than", metavar="SIZE", help="Larger than this, as in 100MB.")
    ] = None,
    down_to: Annotated[
        str | None,
        typer.Option("--down-to", metavar="SIZE", help="The longest unused, until no more than this is stored."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    docker: Annotated[bool, typer.Option("--docker", help="BuildKit's cache mounts that no build uses.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print as JSON what would go; with --yes remove it, a line for each step.")
    ] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Remove what is stored, also while the cache runs. All conditions that are given must hold.

    Shows what and how much first, and asks.
    """
    place = options.data_place(os.environ, config, data)
    from proxy.commands import clean as command  # noqa: PLC0415 - its libraries take a moment to load

    flags = command.CleanFlags(
        place, index, project, version, older_than, larger_than, down_to, everything, docker, yes, json
    )
    raise typer.Exit(command.clean(flags, os.environ))


@verbs.command(epilog=EXIT_STATUS)
def verify(
    bundle: Annotated[
        str | None,
        typer.Argument(metavar="BUNDLE", help="A bundle to verify, in place of the cache.", show_default=False),
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each step.")] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Hash every stored file, also while the cache runs. Damaged ones are removed, and fetched again when asked for.

    Of a bundle, the first file that is wrong is named; no cache is needed.
    """
    if bundle is not None:
        from proxy.commands.verify import verify_bundle  # noqa: PLC0415 - its libraries take a moment to load

        raise typer.Exit(verify_bundle(bundle, json=json))
    place = options.data_place(os.environ, config, data)
    from proxy.commands import verify as command  # noqa: PLC0415 - its libraries take a moment to load

    raise typer.Exit(command.verify(command.VerifyFlags(place, json), os.environ))


@verbs.command("import", epilog=EXIT_STATUS)
def take_in(  # noqa: PLR0913 - each is an option
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="A bundle; - for one on standard input; or a folder of wheels, debs or another cache.",
        ),
    ],
    *,
    replace_newer: Annotated[
        bool, typer.Option("--replace-newer", help="Also replace what upstream confirmed later than what is imported.")
    ] = False,
    files: Annotated[
        bool, typer.Option("--files", help="PATH is no bundle, but any tar of files: keep them by their sha256.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each path.")] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Take in a bundle that `export` made, also while the cache runs. It can be interrupted and repeated.

    Of a folder (wheels, debs, pip's HTTP cache, or that of apt-cacher-ng, devpi or proxpi) the files are kept by
    their sha256, and used once an index lists them.
    """
    place = options.data_place(os.environ, config, data)
    from proxy.commands import importing as command  # noqa: PLC0415 - its libraries take a moment to load

    raise typer.Exit(command.take_in(command.ImportFlags(place, tuple(paths), replace_newer, files, json), os.environ))
