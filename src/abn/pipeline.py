"""What dvc.yaml says of the stages: the params that each may read, and its key."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from abn import paths
from abn.errors import AbnError
from abn.params import Params, read


class Declared(NamedTuple):
    """What dvc.yaml says of a stage."""

    name: str
    params: tuple[tuple[str, ...], ...]
    deps: tuple[Path, ...]
    outs: tuple[Path, ...]
    purpose: str
    """In one line."""


def read_pipeline() -> dict[str, Declared]:
    """Read dvc.yaml's stages in their order; raise ``AbnError`` if it is malformed.

    ``${data.root}`` and its like stand for the values in params.yaml, as DVC has it.
    """
    content, _ = read(paths.PIPELINE, _fill_in)
    try:
        return {name: _declared(name, stage) for name, stage in content["stages"].items()}
    except (AttributeError, KeyError, TypeError):
        raise AbnError(
            f"{paths.PIPELINE}: stages must be a mapping, its params, deps and outs lists"
        ) from None


def _fill_in(text: str) -> str:
    if "${" not in text:
        return text
    leaves = flatten(read(paths.PARAMS)[0])
    return re.sub(r"\$\{([\w.]+)\}", lambda found: str(leaves.get(found[1], found[0])), text)


def _declared(name: str, stage: Mapping[str, Any]) -> Declared:
    written = [*stage.get("outs", ()), *stage.get("metrics", ()), *stage.get("plots", ())]
    return Declared(
        name,
        tuple(tuple(_entry(param).split(".")) for param in stage.get("params", ())),
        tuple(Path(_entry(dep)) for dep in stage.get("deps", ())),
        tuple(Path(_entry(out)) for out in written),
        str(stage.get("desc", "")),
    )


def _entry(entry: str | Mapping[str, Any]) -> str:
    """Give the name of a dvc.yaml list's entry, with or without options below it."""
    return entry if isinstance(entry, str) else next(iter(entry))


def read_key(stage: str) -> str:
    """Read a stage's key from its run file; raise ``AbnError`` if the stage has not run."""
    path = paths.run_file(stage)
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError):
        raise AbnError(f"{path}: missing or malformed; make it with: dvc repro {stage}") from None


def stage_key(stage: str, named: Mapping[str, Any], deps: Iterable[Path]) -> str:
    """Give the digest that a stage's result is a function of: 32 hexadecimal digits of SHA-256.

    Args:
        stage: its name.
        named: the params that dvc.yaml names for it, flattened; tracking's never count.
        deps: files and folders; a folder that holds a dataset.json is what that file says it is,
            since it has the digest of the arrays beside it.

    Raises:
        AbnError: a dep is missing.
    """
    counted = {name: value for name, value in named.items() if not name.startswith("tracking.")}
    contents = {dep.as_posix(): _digest(dep) for dep in deps}
    text = json.dumps([stage, counted, contents], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _digest(dep: Path) -> str:
    described = dep / "dataset.json"
    if described.is_file():
        return _digest(described)
    if dep.is_dir():
        files = sorted(path for path in dep.rglob("*") if path.is_file())
        lines = [f"{path.relative_to(dep).as_posix()} {_digest(path)}" for path in files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    try:
        with dep.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise AbnError(f"{dep}: missing; make what the stage depends on with: dvc repro") from None


def values(every: Params, named: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """Give the params that dvc.yaml names, flattened, in params.yaml's order.

    Raises:
        AbnError: params.yaml has no such parameter.
    """
    named = list(named)
    leaves = flatten(every.model_dump())
    for one in named:
        if not any(_within(tuple(leaf.split(".")), one) for leaf in leaves):
            raise AbnError(f"{paths.PIPELINE}: names {'.'.join(one)}, which is not a parameter")
    return {
        leaf: value
        for leaf, value in leaves.items()
        if any(_within(tuple(leaf.split(".")), one) for one in named)
    }


def restricted(every: Params, declared: Declared) -> Params:
    """Give params of which only what dvc.yaml names for the stage can be read."""
    return cast("Params", _Restricted(every, (), declared))


class _Restricted:
    """A section of params of which not all is named in dvc.yaml."""

    def __init__(self, section: Any, place: tuple[str, ...], declared: Declared) -> None:
        self._section, self._place, self._declared = section, place, declared

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._section, name)
        place = (*self._place, name)
        if any(_within(place, one) for one in self._declared.params):
            return value
        if any(_within(one, place) for one in self._declared.params):
            return _Restricted(value, place, self._declared)
        raise AbnError(
            f"the stage {self._declared.name} reads the parameter {'.'.join(place)}, which "
            f"{paths.PIPELINE} does not name: add it to the stage's params"
        )


def _within(place: tuple[str, ...], section: tuple[str, ...]) -> bool:
    return place[: len(section)] == section


def flatten(nested: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Give the leaves of nested mappings by their dotted path."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = value
    return flat
