"""The command line: thin over the use cases.

With ``--json`` exactly one JSON object goes to stdout; everything else goes to
stderr. Exit codes are those of `napari_tcia.errors`. The commands are loaded
late, so that Ctrl-C is heeded from the start.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from napari_tcia.errors import Cancelled

STOPPED = "Stopped; what was finished stays."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the contract's code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code."""
    try:
        from napari_tcia.cli.commands import perform

        return perform(list(arguments))
    except (Cancelled, KeyboardInterrupt):
        if "--json" in arguments:
            error = {"code": "cancelled", "message": STOPPED, "hint": ""}
            print(json.dumps({"error": error}))  # noqa: T201
        print(STOPPED, file=sys.stderr)  # noqa: T201
        return Cancelled.exit_code
