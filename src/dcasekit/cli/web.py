"""``dcasekit app``: the web application."""

from pathlib import Path
from typing import Annotated

import typer

from dcasekit.cli.output import note, text


def app(  # noqa: PLR0913 - options of a command
    *,
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]FOLDER",
            help="Folders of recordings, or datasets: esc10=data/ESC-50.  \\[default: the sounds that the runs were made of]",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Folder of runs; new ones go there.")] = Path("runs"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8050,
    host: Annotated[
        str, typer.Option(help="Address to listen on; with any other than this one, other machines reach the app, with a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str,
        typer.Option(
            envvar="DCASEKIT_TOKEN",
            help="Token that browsers must send.  \\[default: none on this machine alone, else a new one]",
            show_default=False,
        ),
    ] = "",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Open the web application: explore, train, evaluate and correct in the browser. Only these folders are shown."""
    from dcasekit.app import serve

    server = serve(folders or [], runs=runs, host=host, port=port, token=token)
    text(server.address)
    note("Ctrl-C stops it; runs that were started go on")
    if browser:
        typer.launch(server.address)
    server.run()
