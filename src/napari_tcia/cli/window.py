"""Commands that open a window or run a service: open, demo, serve, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

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


class WithFaults(TyperCommand):
    """A command whose help ends with the names of the faults."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; the faults are loaded for nothing else."""
        from napari_tcia.demo.faults import FAULTS

        super().format_help(ctx, formatter)
        faults = [(name, fault.sentence) for name, fault in FAULTS.items()]
        with formatter.section("Faults"):
            formatter.write_dl(faults)


def serve(
    port: Annotated[int, typer.Option(help="0 chooses a free one.")] = 0,
    cases: Annotated[
        int, typer.Option(help="How many cases of CT Lymph Nodes.", min=1, max=176)
    ] = 3,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="512 x 512 and real slice counts.")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[@key=value,...][+...]",
            help="Misbehave in a named way, for example cut@bytes=100000,count=2; "
            "several are repeated or joined by +. Keys: path, after, count, every, "
            "chance (with seed), bytes, seconds.",
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
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file; with --key, speak https.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate's key.")
    ] = None,
) -> None:
    """Run the embedded archive alone; the first line says where.

    It is SYNTHETIC, and serves this machine alone unless --host says otherwise.
    """
    from napari_tcia.demo.serve import serve as run

    run(
        port=port,
        cases=cases,
        full_size=full_size,
        fault="+".join(fault or ()),
        host=host,
        listing=listing,
        rate=rate,
        latency=latency / 1000,
        certificate=certificate,
        key=key,
    )


def doctor(json_: Json = False) -> None:
    """Say what is installed, where things are kept, which services answer."""
    from napari_tcia.app.doctor import examine

    found = examine()
    if json_:
        emit({"records": found, "issues": []})
        return
    table(["", "what", "finding"], [(r["state"], r["what"], r["text"]) for r in found])
