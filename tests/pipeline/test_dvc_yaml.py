"""dvc.yaml against the code: what a stage depends on, writes and reads."""

import ast
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from abn import paths
from abn.params import Params

ROOT = Path(__file__).parents[2]
SHARED_BY_ALL = {
    *("abn", "abn.params", "abn.paths", "abn.errors", "abn.atomic", "abn.progress"),
    *("abn.stage", "abn.pipeline"),  # behind which stands abn.tracking
}
"""A change here changes no result: logging, checks and messages must not retrain."""

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STAGES = list(PIPELINE)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("abn", exclude_type_checking_imports=True)


def _imported_by(script: Path, graph: grimp.ImportGraph) -> set[str]:
    direct = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            direct |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            direct |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found: set[str] = set()
    waiting = [name for name in direct if name in graph.modules and name not in SHARED_BY_ALL]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            imported = graph.find_modules_directly_imported_by(module)
            waiting += [name for name in imported if name not in SHARED_BY_ALL]
    return found


def _file(module: str) -> Path | None:
    """Give a module's file; none for a package, whose __init__ holds nothing but its docstring."""
    file = Path("src", *module.split(".")).with_suffix(".py")
    return file if (ROOT / file).exists() else None


def _names(entries: list[Any]) -> set[str]:
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_modules_that_it_imports(
    stage: str, graph: grimp.ImportGraph
) -> None:
    """A changed module reruns the stages that import it, and no other."""
    script = f"stages/{stage}.py"
    modules = _imported_by(ROOT / script, graph)
    expected = {script} | {file.as_posix() for module in modules if (file := _file(module))}
    expected |= _templates(expected)
    code = {dep for dep in _names(PIPELINE[stage]["deps"]) if dep.startswith(("src/", "stages/"))}
    missing, idle = sorted(expected - code), sorted(code - expected)
    assert (missing, idle) == ([], []), f"{stage}: add {missing}, remove {idle} in dvc.yaml"


def _templates(files: set[str]) -> set[str]:
    return {"src/abn/report/templates"} if "src/abn/report/page.py" in files else set()


def test_packages_hold_nothing_but_a_docstring() -> None:
    """So that no package need stand among a stage's dependencies."""
    for file in (ROOT / "src").rglob("__init__.py"):
        statements = ast.parse(file.read_text(encoding="utf-8")).body
        assert [type(one) for one in statements] == [ast.Expr], file


def test_every_artefact_that_dvc_yaml_names_is_known_to_the_paths_module() -> None:
    """Paths live in one module: dvc.yaml names no other."""
    known = {str(value) for value in vars(paths).values() if isinstance(value, Path)}
    known |= {str(path.with_suffix(".json")) for path in (paths.MODEL, paths.REFINED_MODEL)}
    for stage, spec in PIPELINE.items():
        allowed = known | {str(paths.run_file(name)) for name in STAGES}
        allowed |= {str(paths.metrics_file(name)) for name in [*STAGES, "summary"]}
        allowed |= {f"{paths.PLOTS}/{name}.csv" for name in [stage, "front", *STAGES]}
        kinds = ("deps", "outs", "metrics", "plots")
        named = _names([entry for kind in kinds for entry in spec.get(kind, [])])
        data = {name for name in named if not name.startswith(("src/", "stages/", "${"))}
        inside = {name for name in data if any(name.startswith(f"{path}/") for path in known)}
        assert data - inside <= allowed, stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_only_params_that_exist(stage: str) -> None:
    """A misspelt name in dvc.yaml would make a change of the parameter go unnoticed."""
    for name in PIPELINE[stage]["params"]:
        model: Any = Params
        for part in name.split("."):
            assert part in model.model_fields, name
            model = model.model_fields[part].annotation


def test_changing_the_fine_tuning_touches_no_stage_before_it() -> None:
    """A changed learning rate of the fine-tuning never retrains the base model."""
    naming = [stage for stage in STAGES if "finetune" in PIPELINE[stage]["params"]]
    assert naming == ["finetune_attention", "report"]


def test_every_stage_leaves_its_key() -> None:
    """The run of a cached stage is found again by the key in data/runs."""
    for stage in STAGES:
        assert str(paths.run_file(stage)) in _names(PIPELINE[stage]["outs"])
