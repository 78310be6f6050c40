"""From candidate to champion: the gates of params.yaml, and better than the present champion.

All figures are of the validation split, as they were when the model was made; alignment is the IoU
with the masks, or with edited maps that were held out where the data set has no masks.
"""

from collections.abc import Iterator
from typing import NamedTuple

from abn.errors import AbnError
from abn.params import Promote
from abn.tracking import registry, server
from abn.tracking.registry import CANDIDATE, CHAMPION, Version

WITH_MASKS, WITH_EDITS = "with the masks", "with held-out edits"
BASELINES = {"constant_map": "the best constant map", "class_mean_mask": "its class's mean mask"}
ATTEMPTS = 5
"""To become champion while others do too."""


class Check(NamedTuple):
    """A condition, and what was compared."""

    passed: bool
    text: str


class Decision(NamedTuple):
    """What became of a promotion."""

    checks: list[Check]
    promoted: bool
    text: str


class _Alignment(NamedTuple):
    """Alignment of a version, and what it was measured with."""

    before: float
    after: float
    basis: str


def promote(
    gates: Promote, experiment: str, number: str | None = None, compare: bool = True
) -> Decision:
    """Make a version champion if it passes the gates and is better than the present champion.

    Of promotions on one machine each sees the outcome of the one before. Between machines that
    share a server MLflow can't set a name only if nobody else has meanwhile, so it is looked at
    again afterwards, and whoever was overtaken is compared anew. Two that look at the same moment
    may both say yes; the later one stays.

    Args:
        gates: What is asked of a champion.
        experiment: Whose models.
        number: The version's; by default the candidate's.
        compare: Whether it must beat the present champion; the gates hold in any case.

    Raises:
        AbnError: There is no such version, or MLflow does not answer.
    """
    name = registry.registered_name(experiment)
    with server.told():
        client = server.connect()
        with registry.locked():
            versions = {one.number: one for one in registry.versions(client, name)}
            wanted = _wanted(versions, registry.aliases(client, name), number)
            decision = None
            for _ in range(ATTEMPTS):
                champion = versions.get(registry.aliases(client, name).get(CHAMPION, ""))
                if champion == wanted:
                    said = f"{wanted.title} is champion"
                    return decision or Decision([], True, f"{said} already; nothing to do")
                decision = judge(wanted, champion, gates, compare)
                if not decision.promoted:
                    return decision
                client.set_registered_model_alias(name, CHAMPION, wanted.number)
                versions |= {one.number: one for one in registry.versions(client, name)}
    raise AbnError("others set the champion at the same time, again and again; try once more")


def judge(
    candidate: Version, champion: Version | None, gates: Promote, compare: bool = True
) -> Decision:
    """Decide whether a version may become champion in the place of another one, or of none."""
    checks = [*_gates(candidate, gates)]
    if compare and champion is not None:
        checks += _comparison(candidate, champion, gates)
    elif champion is None:
        checks.append(Check(True, "there is no champion to beat"))
    else:
        checks.append(Check(True, f"not compared with the champion, {champion.title}"))
    promoted = all(check.passed for check in checks)
    stays = f"{champion.title} stays champion" if champion else "there is still no champion"
    return Decision(
        checks, promoted, f"{candidate.title} is champion" if promoted else f"not promoted; {stays}"
    )


def _wanted(versions: dict[str, Version], names: dict[str, str], number: str | None) -> Version:
    found = versions.get(number or names.get(CANDIDATE, ""))
    if found is not None:
        return found
    if number is None:
        raise AbnError("the registry has no candidate; dvc repro registers one, abn doctor tells")
    there = ", ".join(sorted(versions, key=int)) or "none"
    raise AbnError(f"the registry has no version {number} of this pipeline; there are: {there}")


def _gates(candidate: Version, gates: Promote) -> Iterator[Check]:
    before, after = _accuracy(candidate, "before"), _accuracy(candidate, "after")
    if before is None or after is None:
        yield Check(False, "accuracy on validation was not recorded; run: dvc repro --force")
    else:
        yield Check(
            _within(before, after, gates.max_accuracy_drop),
            f"accuracy {after:.4f}, {after - before:+.4f} against its base model's {before:.4f}; "
            f"{-gates.max_accuracy_drop:+.4f} is allowed (promote.max_accuracy_drop)",
        )
    alignment = _alignment(candidate)
    if alignment is None:
        yield Check(
            False,
            "alignment was not measured: the data set has no masks, and no edits were held out "
            "(selection.holdout)",
        )
        return
    gained = alignment.after - alignment.before
    yield Check(
        alignment.after >= gates.min_alignment,
        f"alignment {alignment.after:.4f} {alignment.basis}; {gates.min_alignment:.4f} is needed "
        "(promote.min_alignment)",
    )
    yield Check(
        gained >= gates.min_alignment_gain,
        f"alignment gained {gained:+.4f} over its base model's {alignment.before:.4f}; "
        f"{gates.min_alignment_gain:+.4f} is needed (promote.min_alignment_gain)",
    )

    for cheap, name in _baselines(candidate, alignment):
        yield Check(
            alignment.after > cheap,
            f"alignment {alignment.after:.4f} against {cheap:.4f}, which {name} reaches for "
            "nothing; it must be higher",
        )


def _comparison(candidate: Version, champion: Version, gates: Promote) -> Iterator[Check]:
    forced = "promote without comparing: abn promote --no-compare"
    if candidate.data != champion.data:
        yield Check(
            False,
            f"the champion, {champion.title}, was measured on other data ({champion.data[:12]}, "
            f"this one on {candidate.data[:12]}): their figures can't be compared; run the "
            f"pipeline with the champion's params on this data, or {forced}",
        )
        return
    mine, theirs = _alignment(candidate), _alignment(champion)
    ours, others = _accuracy(candidate, "after"), _accuracy(champion, "after")
    if mine is None or theirs is None or ours is None or others is None:
        yield Check(False, f"nothing to compare with the champion, {champion.title}, by; {forced}")
        return
    if mine.basis != theirs.basis:
        yield Check(
            False,
            f"alignment was measured {mine.basis}, that of the champion, {champion.title}, "
            f"{theirs.basis}; {forced}",
        )
        return
    yield Check(
        mine.after > theirs.after,
        f"alignment {mine.after:.4f} against the champion's {theirs.after:.4f} "
        f"({champion.title}), {mine.basis}; it must be higher",
    )
    yield Check(
        _within(others, ours, gates.max_accuracy_drop),
        f"accuracy {ours:.4f}, {ours - others:+.4f} against the champion's {others:.4f}; "
        f"{-gates.max_accuracy_drop:+.4f} is allowed (promote.max_accuracy_drop)",
    )


def _baselines(version: Version, alignment: _Alignment) -> Iterator[tuple[float, str]]:
    if alignment.basis != WITH_MASKS:
        return
    for key, name in BASELINES.items():
        if (cheap := version.measured.get(f"baselines.val.{key}.iou")) is not None:
            yield cheap, name


def _within(reference: float, value: float, drop: float) -> bool:
    """Whether ``value`` is no more than ``drop`` below; equal numbers are, whatever their bits."""
    return value - reference >= -drop - 1e-9


def _accuracy(version: Version, side: str) -> float | None:
    return version.measured.get(f"{side}.val.accuracy")


def _alignment(version: Version) -> _Alignment | None:
    for where, basis in (("val.iou", WITH_MASKS), ("held_out.iou", WITH_EDITS)):
        before, after = (version.measured.get(f"{side}.{where}") for side in ("before", "after"))
        if before is not None and after is not None:
            return _Alignment(before, after, basis)
    return None
