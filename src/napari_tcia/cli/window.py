"""Commands that open a window or run a service: open, demo, serve, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_tcia.cli.output import Json, emit, table


def open_(
    target: Annotated[str, typer.Argument(metavar="[TARGET|PATH]")] = "",
) -> None:
    """Open napari with the browser, and TARGET or PATH in it, its citation docked."""
    from napari_tcia.app.display import require_display
    from napari_tcia.app.services import Services

    require_display()
    from napari_tcia._napari.launch import run

    path = Path(target)
    run(Services.open(), path if target and path.exists() else target)


def demo(
    screenshot: Annotated[
        Path | None, typer.Option(help="Write the window's picture and end.")
    ] = None,
    case: Annotated[str, typer.Option(help="Patient ID to open.")] = "",
) -> None:
    """See it work: the embedded archive and napari, over HTTP."""
    from napari_tcia.app.display import require_display

    require_display()
    from napari_tcia._napari.demo import run

    run(screenshot=screenshot, case=case)


def serve(
    port: Annotated[int, typer.Option(help="0 chooses a free one.")] = 0,
    cases: Annotated[int, typer.Option(help="How many cases.", min=1)] = 3,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="512 x 512 and real slice counts.")
    ] = False,
    fault: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@key=value,...]",
            help="Misbehave in a named way, for example cut@bytes=100000,count=2.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others can reach it then.")
    ] = "127.0.0.1",
    listing: Annotated[
        int, typer.Option(help="List at least so many series.", min=0)
    ] = 0,
    rate: Annotated[
        float | None, typer.Option(help="Most bytes per second.", min=1)
    ] = None,
    latency: Annotated[
        float, typer.Option(help="Milliseconds before each answer.", min=0)
    ] = 0,
) -> None:
    """Run the embedded archive alone; the first line says where."""
    from napari_tcia.demo.server import serve as run

    run(
        port=port,
        cases=cases,
        full_size=full_size,
        fault=fault,
        host=host,
        listing=listing,
        rate=rate,
        latency=latency / 1000,
    )


def doctor(json_: Json = False) -> None:
    """Say what is installed, where things are kept, which services answer."""
    from napari_tcia.app.doctor import examine

    found = examine()
    if json_:
        emit({"records": found, "issues": []})
        return
    table(["", "what", "finding"], [(r["state"], r["what"], r["text"]) for r in found])
