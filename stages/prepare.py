"""Write the source's images and masks as one prepared set."""

from abn import paths, progress
from abn.data import prepared
from abn.data.sources.catalogue import open_source
from abn.errors import AbnError
from abn.stage import Stage, run


def main(stage: Stage) -> None:
    """Prepare the data set that params.yaml names."""
    params = stage.params
    if params.data.stored_size not in (None, params.data.image_size):
        raise AbnError(
            "data.stored_size: training does not crop from larger images yet; set it to null"
        )
    source = open_source(params.data, params.seed)
    size = params.data.image_size
    dataset = prepared.write(source, size, paths.PREPARED, params.data.stored_size)
    if source.rejected:
        rejected = paths.PREPARED / "rejected.csv"
        progress.say(f"{len(source.rejected)} file(s) of the source are not used, see {rejected}")
    stage.log_metrics(
        {
            "images": dataset["images"],
            "classes": len(dataset["classes"]),
            "rejected": len(source.rejected),
        }
    )


if __name__ == "__main__":
    run("prepare", main)
