"""Write the source's images and masks as one prepared set."""

from abn import paths
from abn.data import prepared
from abn.data.sources.catalogue import open_source
from abn.stage import Stage, run


def main(stage: Stage) -> None:
    """Prepare the data set that params.yaml names."""
    params = stage.params
    source = open_source(params.data, params.seed)
    dataset = prepared.write(source, params.data.image_size, paths.PREPARED)
    stage.log_metrics({"images": dataset["images"], "classes": len(dataset["classes"])})


if __name__ == "__main__":
    run("prepare", main)
