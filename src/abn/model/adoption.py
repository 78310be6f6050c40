"""The refined model of an earlier round as the base model of this one."""

import shutil
from dataclasses import asdict
from pathlib import Path

from abn import atomic
from abn.errors import AbnError
from abn.model import checkpoint
from abn.model.checkpoint import Card
from abn.model.network import AttentionBranchNetwork


def adopt(frozen: Path, wanted: Card, path: Path) -> AttentionBranchNetwork:
    """Copy a model and its card to ``path``, bit for bit, and give it as ``checkpoint.load`` does.

    Args:
        frozen: Its weights.
        wanted: What the params and the prepared set ask for; its weights don't count.
        path: Where the base model lies.

    Raises:
        AbnError: The model is missing, or of another architecture, classes or data.
    """
    if not frozen.exists():
        raise AbnError(f"{frozen}: not found; get it with `dvc pull {frozen.parent}`")
    network, card = checkpoint.load(frozen)
    found, asked = asdict(card), asdict(wanted)
    differing = [name for name in asked if name != "weights" and found[name] != asked[name]]
    if differing:
        lines = [f"  {name}: {found[name]} there, {asked[name]} here" for name in differing]
        raise AbnError(
            f"{frozen} can't be the base model: it was made for other params or data\n"
            + "\n".join(lines)
            + "\nset model and data as they were in that round, or model.base to null"
        )
    for suffix in (".safetensors", ".json"):
        with atomic.file(path.with_suffix(suffix)) as aside:
            shutil.copyfile(frozen.with_suffix(suffix), aside)
    return network
