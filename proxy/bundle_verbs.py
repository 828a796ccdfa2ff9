"""The verbs that carry what is stored to another place, and their options; nothing else. `cli` has all verbs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from proxy import options
from proxy.options import EXIT_STATUS, ConfigFile, DataFolder

if TYPE_CHECKING:
    from proxy.builds.store_access import DataPlace

verbs = typer.Typer()


@verbs.command(epilog=f"{EXIT_STATUS[:-1]}, 3 not all that --for needs is here.")
def export(  # noqa: PLR0913 - each is an option
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="The tar to write, or - for standard output.", show_default=False)
    ],
    *,
    needed_for: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="WHAT",
            help="Exactly what a build needs: a lock file, or what else warm takes. Repeatable.",
        ),
    ] = None,
    platforms: Annotated[
        list[str] | None, typer.Option("--platform", metavar="NAME", help="With --for, as of warm. Repeatable.")
    ] = None,
    pythons: Annotated[
        list[str] | None, typer.Option("--python-version", metavar="VERSION", help="Likewise. Repeatable.")
    ] = None,
    apt: Annotated[
        list[str] | None,
        typer.Option("--apt", metavar="PACKAGES", help="What these packages of apt need, as of warm. Repeatable."),
    ] = None,
    sources: Annotated[
        list[str] | None, typer.Option("--apt-source", metavar="SOURCE", help="With --apt, as of warm. Repeatable.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option("--apt-architecture", metavar="NAME", help="With --apt, as of warm.")
    ] = None,
    recommends: Annotated[
        bool, typer.Option("--install-recommends/--no-install-recommends", help="With --apt, as of warm.")
    ] = True,
    tools: Annotated[bool, typer.Option(help="With --for: also the newest pip, setuptools, wheel and uv.")] = True,
    indexes: Annotated[
        list[str] | None,
        typer.Option(
            "--index",
            metavar="MOUNT",
            help="Of this index; apt, or a host, for archives. Repeatable. With --for: the one that pip and uv use.",
        ),
    ] = None,
    projects: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="NAME", help="Of this project, or Debian package. Repeatable."),
    ] = None,
    newer_than: Annotated[
        str | None, typer.Option("--newer-than", metavar="TIME", help="Fetched not longer ago than this, as in 7d.")
    ] = None,
    since: Annotated[
        list[str] | None,
        typer.Option(
            "--since", metavar="BUNDLE", help="Leave out what this bundle, or MANIFEST.json, has. Repeatable."
        ),
    ] = None,
    wish: Annotated[bool, typer.Option("--wish", hidden=True)] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Pack what is stored into one plain tar, also while the cache runs. All conditions that are given must hold.

    What belongs to a chosen file comes with it. The tar is usable without this program: its README.txt says how.
    """
    place = options.data_place(os.environ, config, data)
    from proxy.commands import export as command  # noqa: PLC0415 - its libraries take a moment to load

    build = None
    if needed_for or apt:
        from proxy.commands.warm import WarmFlags  # noqa: PLC0415 - likewise
        from proxy.warming.wishes import AptWish  # noqa: PLC0415 - likewise

        build = WarmFlags(
            tuple(needed_for or ()),
            tuple(platforms or ()),
            tuple(pythons or ()),
            (indexes or ["pypi"])[0],
            AptWish(tuple(apt or ()), tuple(sources or ()), architecture, recommends),
            tools=tools,
        )
    of_build = {
        "--platform": platforms,
        "--python-version": pythons,
        "--apt-source": sources,
        "--apt-architecture": architecture,
        "--no-install-recommends": not recommends,
        "--no-tools": not tools,
    }
    flags = command.ExportFlags(
        place,
        bundle,
        tuple(indexes or ()),
        tuple(projects or ()),
        newer_than,
        tuple(since or ()),
        build,
        wish,
        tuple(option for option, given in of_build.items() if given),
    )
    raise typer.Exit(command.export(flags, os.environ))


@verbs.command(epilog=f"{EXIT_STATUS[:-1]}, 3 they differ.")
def diff(
    first: Annotated[
        str, typer.Argument(metavar="FIRST", help="A bundle, or its MANIFEST.json; or a lock file.", show_default=False)
    ],
    second: Annotated[
        str | None,
        typer.Argument(metavar="[SECOND]", help="Another bundle. Without: the cache.", show_default=False),
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show what two bundles do not have in common, or what the cache lacks of a lock file."""
    from proxy.commands import diff as command  # noqa: PLC0415 - its libraries take a moment to load

    def place() -> DataPlace:
        return options.data_place(os.environ, config, None)

    raise typer.Exit(command.diff(command.DiffFlags(first, second, json), place, os.environ))
