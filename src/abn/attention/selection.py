"""Which images people are asked to edit: classified correctly, but for the wrong reason."""

from pathlib import Path

import numpy as np
import pandas as pd

from abn.data.rounds import NOTHING, ROLES, Earlier
from abn.errors import AbnError
from abn.params import Selection

COLUMNS = ("image_id", "class_name", "rank", "role", "score", "reason")


def select(
    samples: pd.DataFrame,
    params: Selection,
    manual: Path,
    seed: int,
    earlier: Earlier = NOTHING,
) -> pd.DataFrame:
    """Give the rows of ``samples`` to edit, worst first, with rank, role, score and reason.

    The index stays that of ``samples``.

    Args:
        samples: One row an image: image_id, split, class_name, correct, alignment (NaN where there
            is no mask), and where there are no masks at all disagreement (abn.training.saliency).
        params: Strategy, budget, holdout.
        manual: The people's own list, a CSV with the column image_id.
        seed: Decides which of the selection are held out.
        earlier: What was edited in earlier rounds is not selected again; what was selected only
            keeps its role.

    Raises:
        AbnError: Nothing to select, or the manual list names unknown or misclassified images.
    """
    has_masks = bool(samples["alignment"].notna().any())
    candidates = samples.assign(
        score=1 - samples["alignment"] if has_masks else samples["disagreement"]
    )
    if params.strategy == "manual":
        chosen = _manual(candidates, manual, earlier)
        reason = "people's own choice"
    else:
        chosen = _worst_of_each_class(_unedited(candidates, earlier), params.budget)
        reason = "lowest IoU with the mask" if has_masks else "attention map and gradients disagree"
    chosen = chosen.sort_values(["score", "image_id"], ascending=[False, True], kind="stable")
    chosen["rank"] = np.arange(1, len(chosen) + 1)
    chosen["reason"] = reason
    roles = _roles(chosen, params.holdout, seed)
    chosen["role"] = [
        earlier.roles.get(image_id, role)
        for image_id, role in zip(chosen["image_id"], roles, strict=True)
    ]
    return chosen


def _unedited(samples: pd.DataFrame, earlier: Earlier) -> pd.DataFrame:
    return samples[~samples["image_id"].isin(earlier.edited)]


def _worst_of_each_class(samples: pd.DataFrame, budget: int) -> pd.DataFrame:
    """Take an equal share of each class: the worst overall are mostly of one class."""
    right = samples[(samples["split"] == "train") & samples["correct"].astype(bool)]
    right = right[right["score"].notna()]
    if right.empty:
        raise AbnError(
            "no training image that is not edited yet is classified correctly: there is nothing "
            "to edit; train longer (train.epochs)"
        )
    ordered = right.sort_values(["score", "image_id"], ascending=[False, True], kind="stable")
    place = ordered.groupby("class_name").cumcount()
    # By place within the class, so that a budget that no class share fills is filled by the others.
    by_turns = ordered.assign(place=place).sort_values("place", kind="stable")
    return by_turns.head(budget).drop(columns="place")


def _manual(samples: pd.DataFrame, manual: Path, earlier: Earlier) -> pd.DataFrame:
    wanted = pd.read_csv(manual, dtype=str)
    if "image_id" not in wanted.columns or wanted.empty:
        raise AbnError(f"{manual}: selection.strategy is manual; list image_id, one a line")
    of_training = samples[samples["split"] == "train"]
    unknown = sorted(set(wanted["image_id"]) - set(of_training["image_id"]))
    if unknown:
        raise AbnError(
            f"{manual}: {len(unknown)} image_id(s) are not in the training split, as {unknown[0]!r}"
        )
    chosen = _unedited(of_training[of_training["image_id"].isin(wanted["image_id"])], earlier)
    if chosen.empty:
        raise AbnError(f"{manual}: all of it was edited in earlier rounds; list other images")
    return chosen


def _roles(chosen: pd.DataFrame, holdout: float, seed: int) -> list[str]:
    """Hold out the same share of each class, half to choose by and half to report by."""
    random = np.random.default_rng([seed, len(chosen)])
    tickets = pd.Series(random.random(len(chosen)), index=chosen.index)
    by_class = chosen["class_name"].to_frame().assign(ticket=tickets)
    order = by_class.sort_values("ticket").groupby("class_name").cumcount().reindex(chosen.index)
    turn = pd.DataFrame({"order": order, "ticket": tickets}).sort_values(["order", "ticket"]).index
    held = round(holdout * len(chosen))
    if holdout and held < 2:
        raise AbnError(
            f"selection.holdout {holdout} of {len(chosen)} image(s) holds out {held}; it takes 2: "
            "one to choose by, one to report by"
        )
    role_of = {image: ROLES[1 + place % 2] for place, image in enumerate(turn[:held])}
    return [role_of.get(image, ROLES[0]) for image in chosen.index]
