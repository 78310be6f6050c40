"""Write the report, and log the pipeline's state as the run that people compare."""

from abn import atomic, params, paths
from abn.report import evidence, page
from abn.report.headline import headline
from abn.stage import Stage, run


def main(stage: Stage) -> None:
    """Write the page, the same in short, and the headline metrics."""
    # The page shows every parameter, so it reads more of them than its own.
    found = evidence.read(params.load())
    atomic.write_text(paths.REPORT_PAGE, page.render(found))
    atomic.write_text(paths.REPORT_TEXT, page.render_text(found))
    summary = headline(found)
    atomic.write_json(paths.metrics_file("summary"), summary)
    stage.log_artifact(paths.REPORT_PAGE)
    stage.log_pipeline(summary, [paths.REPORT_PAGE, paths.REPORT_TEXT])


if __name__ == "__main__":
    run("report", main)
