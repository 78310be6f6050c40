"""The command ``abn``: what people do beside ``dvc repro``; each is a call into the library."""

import sys
from typing import Annotated

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


def main() -> None:
    """Run the command line; what a user can mend is said in one line, with exit status 1."""
    try:
        app()
    except AbnError as error:
        print(f"abn: {error}", file=sys.stderr)
        sys.exit(1)


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


if __name__ == "__main__":
    main()
