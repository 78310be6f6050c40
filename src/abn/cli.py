"""The command ``abn``: what people do beside ``dvc repro``; each is a call into the library."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from abn import paths
from abn.errors import AbnError

app = typer.Typer(
    help="Human-guided attention refinement.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
annotate = typer.Typer(
    help="Edit attention maps in Label Studio: serve, push, edit, pull.", no_args_is_help=True
)
app.add_typer(annotate, name="annotate")
rounds = typer.Typer(help="Rounds of guidance, each on the model of the one before.")
app.add_typer(rounds, name="round", no_args_is_help=True)

WIDTH_OF_A_PIPE = 10_000
"""Columns where no terminal says how many: no line is broken."""


class Format(StrEnum):
    """How predictions are printed."""

    TABLE = "table"
    JSON = "json"


def main() -> None:
    """Run the command line; what a user can mend is said in one line, with exit status 1."""
    try:
        app()
    except AbnError as error:
        print(f"abn: {error}", file=sys.stderr)
        sys.exit(1)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    model: Annotated[
        str,
        typer.Option(help="refined, base, champion, candidate, or a .safetensors file's path."),
    ] = "refined",
    out: Annotated[
        Path | None, typer.Option(help="Folder for overlays: the image under its attention map.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Classify images and show where the network looks; exit status 1 if one can't be read."""
    from abn import params, prediction  # noqa: PLC0415
    from abn.model import checkpoint  # noqa: PLC0415
    from abn.tracking import registry  # noqa: PLC0415
    from abn.training import engine  # noqa: PLC0415

    every = params.load()
    if model in prediction.REGISTERED:
        weights = registry.fetch(every.tracking.experiment, model)
    else:
        weights = prediction.model_file(model)
    network, card = checkpoint.load(weights)
    machine = engine.start(every.runtime, every.seed)
    files, failed = prediction.find(images)
    results = [*prediction.predict(network, card, files, machine, out), *failed]
    described = prediction.describe(card.name, results)
    if form is Format.JSON:
        print(json.dumps(described, indent=1))
    else:
        _print_table(described)
    if described["unreadable"]:
        raise typer.Exit(1)


@app.command()
def promote(
    version: Annotated[
        str | None, typer.Option(help="Number of a registered version; else the candidate.")
    ] = None,
    compare: Annotated[
        bool, typer.Option(help="Whether it must beat the present champion, on the same data.")
    ] = True,
) -> None:
    """Make the candidate champion if it passes the gates and is better; exit status 1 if not."""
    from abn import params, promotion  # noqa: PLC0415

    every = params.load()
    decision = promotion.promote(every.promote, every.tracking.experiment, version, compare)
    for passed, text in decision.checks:
        state, colour = ("ok", "green") if passed else ("no", "red")
        typer.echo(typer.style(f"{state:<4}", fg=colour) + text)
    typer.echo(decision.text)
    if not decision.promoted:
        raise typer.Exit(1)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="oxford_iiit_pet or cub_200_2011.")],
    folder: Annotated[Path | None, typer.Option(help="Where to; default: data/raw/<name>.")] = None,
) -> None:
    """Download a published data set, check it and unpack it, and say how to go on."""
    from abn.data.fetch import fetch as fetch_set  # noqa: PLC0415

    to = folder or Path("data/raw") / name
    for path in fetch_set(name, to):
        print(path)
    print(f"next: dvc add {to}; then set data.source: {name}, data.root: {to} in params.yaml")


@app.command()
def doctor() -> None:
    """Check installation, services and data, and say how to mend what is wrong."""
    from abn.doctor import examine  # noqa: PLC0415

    colours = {"ok": "green", "note": "yellow", "problem": "red"}
    problems = 0
    for state, text, remedy in examine():
        problems += state == "problem"
        typer.echo(typer.style(f"{state:<9}", fg=colours[state]) + text)
        if remedy:
            typer.echo(f"{'':9}→ {remedy}")
    if problems:
        raise typer.Exit(1)


@annotate.command()
def serve(
    port: Annotated[int, typer.Option(help="Where it listens, on this machine only.")] = 8080,
) -> None:
    """Run a Label Studio of your own until Ctrl-C."""
    from abn.edits.label_studio import server  # noqa: PLC0415

    server.serve(port)


@annotate.command()
def push(
    images: Annotated[
        str | None,
        typer.Option(
            help="How the server gets the images: local, upload, or an address before "
            "/<image_id>.png. Default: local for a server on this machine, else upload."
        ),
    ] = None,
    annotators: Annotated[
        int, typer.Option(min=1, help="How many people are to edit each image.")
    ] = 1,
) -> None:
    """Bring the selected images with their maps to Label Studio; twice changes nothing."""
    from abn.edits.label_studio import client, project  # noqa: PLC0415
    from abn.edits.label_studio import push as pushing  # noqa: PLC0415

    key = project.key_of_data()
    with client.connect() as server:
        done = pushing.push(server, paths.ATTENTION / "tasks.json", images, annotators, key)
    print(done.summary())


@annotate.command()
def status() -> None:
    """Say how many images are annotated and skipped, and what changed since the last pull."""
    from abn.edits.label_studio import client, project  # noqa: PLC0415
    from abn.edits.label_studio import pull as pulling  # noqa: PLC0415

    key = project.key_of_data()
    with client.connect() as server:
        print(pulling.status(server, paths.ANNOTATIONS, key).summary())


@annotate.command()
def pull() -> None:
    """Bring people's annotations to data/annotations; `dvc repro` goes on from there."""
    from abn.edits.label_studio import client, project  # noqa: PLC0415
    from abn.edits.label_studio import pull as pulling  # noqa: PLC0415

    key = project.key_of_data()
    with client.connect() as server:
        print(pulling.pull(server, paths.ANNOTATIONS, paths.SELECTED, key).summary())
    print(pulling.next_steps(paths.ANNOTATIONS))


@rounds.callback()
def _rounds() -> None:
    """Keep ``start`` a command of its own, though it is the only one."""


@rounds.command("start")
def start_round() -> None:
    """Freeze the refined model as data/rounds/<n>, which the next round starts from."""
    from abn.rounds import start  # noqa: PLC0415

    print(start().summary())


def _print_table(described: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    file, overlay = Column("file", overflow="fold"), Column("overlay", overflow="fold")
    table = Table(file, "class", "confidence", overlay, box=None, pad_edge=False)
    for one in described["images"]:
        cells = (one["file"], one["class"], f"{one['confidence']:.3f}", one["overlay"] or "")
        table.add_row(*map(_printable, cells))
    for one in described["unreadable"]:
        table.add_row(_printable(one["file"]), "unreadable:", _printable(one["reason"]))
    whole = None if sys.stdout.isatty() else WIDTH_OF_A_PIPE
    Console(width=whole, markup=False, highlight=False, emoji=False).print(table)


def _printable(name: str) -> str:
    """Replace what a terminal would obey and what no encoding has."""
    return "".join(sign if sign.isprintable() else "�" for sign in name)


if __name__ == "__main__":
    main()
