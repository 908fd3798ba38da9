"""Options that several commands share."""

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show all figures of each check, and the time of each stage.")
]
SourceArgument = Annotated[
    str, typer.Argument(help="A folder, a file, or a URL (of fsspec or of your own source type).")
]
