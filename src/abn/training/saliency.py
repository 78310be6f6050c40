"""Where the perception branch's decision comes from, held against where the map looks.

The stand-in for alignment where there are no masks: an image whose attention map disagrees with the
gradients is more likely to be badly aligned (benchmarks/stand_in.py measures how much more).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity

from abn import progress
from abn.data.loading import batch, chunks, count
from abn.data.prepared import Prepared
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine


def disagreement(
    network: AttentionBranchNetwork, prepared: Prepared, rows: NDArray[np.int64], engine: Engine
) -> NDArray[np.float32]:
    """Give 1 − cosine similarity of attention map and saliency for each of ``rows``, in [0, 1]."""
    network = engine.place(network).eval().requires_grad_(False)
    pieces = progress.track(
        chunks(rows, engine.batch_size), "gradients", count(rows, engine.batch_size)
    )
    found = []
    for piece in pieces:
        features = network.feature_extractor(batch(prepared, piece, engine.device))
        maps = network.attention_branch(features).maps
        saliency = _saliency(network, features, maps)
        found.append(1 - cosine_similarity(maps.flatten(1), saliency.flatten(1)).cpu().numpy())
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _saliency(network: AttentionBranchNetwork, features: Tensor, maps: Tensor) -> Tensor:
    """Gradient × features of the predicted class's logit, positive part (HiResCAM).

    Draelos and Carin 2020, arXiv:2011.08891. The map is held fixed: how it came about is the
    attention branch's affair. Gives N×h×w.
    """
    features = features.detach().requires_grad_(True)
    logits = network.perception_branch(features, maps)
    (gradient,) = torch.autograd.grad(logits.amax(1).sum(), features)
    return (gradient * features).sum(1).relu().detach()
