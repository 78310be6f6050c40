"""Models on disk: weights as safetensors, and a JSON that says what they are."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from abn import atomic
from abn.errors import AbnError
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork


@dataclass(frozen=True)
class Card:
    """What a model needs beside its weights to be built and used."""

    backbone: str
    map_kernel: int
    classes: list[str]
    channels: int
    image_size: int
    """Side of the images that it was trained on, pixels."""
    mean: list[float]
    """Of each channel of the training images, pixels scaled to [0, 1]."""
    std: list[float]
    data: str
    """Digest of the prepared set."""
    alpha_is_mask: bool = False
    """Alpha channels of its images said where the object is, not what can't be seen."""
    weights: str = ""
    """Digest of the weights, filled in when they are saved."""

    @property
    def architecture(self) -> Architecture:
        """The network's shape."""
        return Architecture(self.backbone, self.map_kernel, len(self.classes), self.channels)

    @property
    def name(self) -> str:
        """What people see the model called: the same weights, the same name."""
        return f"abn-{self.weights[:12]}"


def save(network: AttentionBranchNetwork, card: Card, path: Path) -> None:
    """Write weights to ``path`` and, beside them, the card with the weights' digest."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    with atomic.file(path) as aside:
        save_file(tensors, aside)
        digest = hashlib.sha256(aside.read_bytes()).hexdigest()
    atomic.write_json(path.with_suffix(".json"), asdict(replace(card, weights=digest)))


def load(path: Path) -> tuple[AttentionBranchNetwork, Card]:
    """Read a model, in eval mode, on the CPU.

    Raises:
        AbnError: A file is missing, or weights and card do not belong together.
    """
    try:
        description = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        card = Card(**description)
    except FileNotFoundError as error:
        raise AbnError(f"{error.filename}: not found; run `dvc repro`") from None
    except (TypeError, ValueError) as error:
        raise AbnError(f"{path.with_suffix('.json')}: {error}; run `dvc repro`") from None
    if card.weights != digest:
        raise AbnError(f"{path} is not the file that {path.stem}.json describes; run `dvc repro`")
    network = build(card.architecture)
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise AbnError(f"{path}: not a model of the kind its card describes: {error}") from None
    return network.eval(), card
