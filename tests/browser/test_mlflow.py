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

from abn.tracking.headlines import HEADLINES
from tests.pipeline.rig import Repository
from tests.tracking.rig import free_port, mlflow_server

RATES = (0.002, 0.01, 0.05)
SCREENSHOT = os.environ.get("ABN_SCREENSHOTS")
"""Folder that gets a picture of the page, as docs/images has it."""
SECONDS = 120


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose pipeline ran with three learning rates of the fine-tuning."""
    repository = Repository(tmp_path_factory.mktemp("compared"))
    for rate in RATES:
        with repository.changed(finetune={"recipes": {"guarded": {"lr": rate}}}):
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
    page.get_by_role("switch").first.click()
    rows = _rows(page)
    assert [name for name in rows if name.startswith(("finetune.", "train.", "data.", "seed"))] == [
        "finetune.recipes.guarded.lr"
    ]
    assert sorted(rows["finetune.recipes.guarded.lr"]) == sorted(map(str, RATES))
    metrics = _metrics(page, len(pipelines))
    assert {name for name in HEADLINES if name in pipelines[0].data.metrics} == set(metrics)
    for name, values in metrics.items():
        expected = [run.data.metrics[name] for run in pipelines]
        assert values == pytest.approx(expected, abs=0.001), name
    assert all(len(set(values)) == 1 for name, values in metrics.items() if "before" in name)
    assert len(set(metrics["after.test.iou"])) == len(RATES)
    if SCREENSHOT:
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
    link = page.get_by_role("link", name="finetune_attention").first
    expect(link).to_have_attribute("href", re.compile(run.data.tags["stage.finetune_attention"]))


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


def _rows(page: Page) -> dict[str, list[str]]:
    """Give the page's tables, the first cell of each row as the name of the others."""
    found: list[list[str]] = page.evaluate(
        "() => [...document.querySelectorAll('tr, [role=row]')].map((row) =>"
        " [...row.querySelectorAll('th, td, [role=cell], [role=rowheader]')]"
        ".map((cell) => cell.innerText.trim()))"
    )
    return {row[0]: row[1:] for row in found if row}


def _metrics(page: Page, runs: int) -> dict[str, list[float]]:
    """Give the metrics' values by name: their table has all names first, then all values."""
    text: str = (
        page.get_by_role("switch").nth(1).evaluate("e => e.closest('div').parentElement.innerText")
    )
    lines = [line.strip() for line in text.splitlines() if line.strip()][1:]
    names = [line for line in lines if line[0].isalpha()]
    values = [float(line) for line in lines[len(names) :]]
    return {name: values[runs * at : runs * (at + 1)] for at, name in enumerate(names)}
