"""Runs as a person compares them: three states of the pipeline in MLflow's own pages."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow.entities import Run
from playwright.sync_api import Browser, Page, expect

from abn.params import Params
from abn.tracking.headlines import HEADLINES
from tests.pipeline.rig import Repository
from tests.tracking.rig import free_port, mlflow_server

RATES = (0.002, 0.01, 0.05)
SCREENSHOT = os.environ.get("ABN_SCREENSHOTS")
"""Folder that gets a picture of the page, as docs/images has it."""
SECONDS = 120
GRID = """(names) => {
  const text = (cell) => cell.innerText.trim();
  const top = (cell) => cell.getBoundingClientRect().top;
  const numbers = [...document.querySelectorAll("[role=grid] *")]
    .filter((one) => !one.children.length && /^-?[0-9.]+$/.test(text(one)));
  return names.map((name) =>
    [name, ...numbers.filter((one) => Math.abs(top(one) - top(name)) < 8)].map(text));
}"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose pipeline ran with three learning rates of the fine-tuning."""
    repository = Repository(tmp_path_factory.mktemp("compared"))
    for rate in RATES:
        with repository.changed(finetune={"lr": rate}):
            repository.dvc("repro")
    return repository


@pytest.fixture(scope="module")
def pipelines(repository: Repository) -> list[Run]:
    """The three pipelines' runs."""
    found = [run for run in repository.runs().values() if run.info.run_name == "pipeline"]
    assert len(found) == len(RATES)
    return found


@pytest.fixture
def page(browser: Browser, repository: Repository) -> Iterator[Page]:
    """A page of an MLflow server on the repository's database; its name is the server's address."""
    port = free_port()
    with mlflow_server(port, repository.root, "mlflow.db") as address:
        context = browser.new_context(viewport={"width": 1280, "height": 1750}, base_url=address)
        context.set_default_timeout(SECONDS * 1000)
        yield context.new_page()
        context.close()


def test_the_compare_page_names_what_differs(page: Page, pipelines: list[Run]) -> None:
    """The one parameter that was varied, with its values, and the headline metrics."""
    expect.set_options(timeout=SECONDS * 1000)
    ids = [run.info.run_id for run in pipelines]
    runs, experiments = json.dumps(ids), json.dumps([pipelines[0].info.experiment_id])
    page.goto(f"/#/compare-runs?runs={quote(runs)}&experiments={quote(experiments)}")
    expect(page.get_by_text("Comparing 3 Runs")).to_be_visible()
    _close_the_assistant(page)
    for switch in page.get_by_role("switch").all()[:2]:  # of params and metrics
        switch.click()
    params, metrics = _params(page), _metrics(page)
    varied = [name for name in params if name.split(".")[0] in Params.model_fields]
    assert varied == ["finetune.lr"]
    assert sorted(params["finetune.lr"]) == sorted(map(str, RATES))
    assert set(metrics) <= set(HEADLINES)
    assert {"after.test.iou", "attention_mse.after.report"} <= metrics.keys()
    assert not [name for name in metrics if "before" in name]  # they have one base model
    for name, values in metrics.items():
        expected = sorted(f"{run.data.metrics[name]:.3g}" for run in pipelines)
        assert sorted(f"{float(value):.3g}" for value in values) == expected, name
    if SCREENSHOT:
        page.set_viewport_size({"width": 1280, "height": 1060})
        page.get_by_text("Comparing 3 Runs").scroll_into_view_if_needed()
        page.wait_for_timeout(2000)
        page.screenshot(path=Path(SCREENSHOT) / "mlflow_compare.png")


def test_a_pipelines_page_says_what_it_is(page: Page, pipelines: list[Run]) -> None:
    """Note with before and after, data set with its digest, links to the runs of its stages."""
    expect.set_options(timeout=SECONDS * 1000)
    run = pipelines[0]
    page.goto(f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}")
    expect(page.get_by_role("cell", name="test.iou").first).to_be_visible()
    _close_the_assistant(page)
    expect(page.get_by_text(re.compile("fashion_mnist")).first).to_be_visible()
    digest = run.inputs.dataset_inputs[0].dataset.digest
    expect(page.get_by_text(digest[:8]).first).to_be_visible()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="finetune_attention").first.click()
    assert run.data.tags["stage.finetune_attention"] in opened.value.url
    expect(opened.value.get_by_text("after.test.iou").first).to_be_visible()


def test_a_stages_curves_are_there_by_epoch(repository: Repository) -> None:
    """Training and refinement log what their charts draw, each at its epoch."""
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(f"sqlite:///{repository.root}/mlflow.db")
    runs = {run.info.run_name: run.info.run_id for run in repository.runs().values()}
    for stage, metric in (("train_abn", "train_loss"), ("finetune_attention", "val_accuracy")):
        steps = [one.step for one in client.get_metric_history(runs[stage], metric)]
        assert len(steps) > 1
        assert steps == sorted(set(steps))


def _close_the_assistant(page: Page) -> None:
    """Close the panel that covers the right side, where it is open."""
    if page.get_by_text("MLflow Assistant").count():
        page.get_by_role("button", name="Close", exact=True).click()


def _params(page: Page) -> dict[str, list[str]]:
    """Give the rows of the page's tables, by their names."""
    found: list[list[str]] = page.locator("tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
    )
    return {row[0]: row[1:] for row in found if row}


def _metrics(page: Page) -> dict[str, list[str]]:
    """Give the metrics' values by their names; they stand in a grid, and are told by height."""
    found: list[list[str]] = page.get_by_title("Plot chart").evaluate_all(GRID)
    return {row[0]: row[1:] for row in found}
