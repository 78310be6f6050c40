"""Random smooth gates in place of some images' attention maps while the base model trains.

A perception branch that met only its own model's maps loses accuracy when the maps move. One that
met others stays tolerant: docs/results.md has the measurement.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

CELLS = 4
"""Side of the grid of uniform random numbers that is enlarged to a gate."""


def jitter(maps: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Replace a random ``share`` of the maps N×h×w by random smooth ones, in [0, 1]."""
    if not share:
        return maps
    count = len(maps)
    replaced = torch.rand(count, generator=random) < share
    noise = torch.rand(count, 1, CELLS, CELLS, generator=random)
    size = maps.shape[1:]
    gates = interpolate(noise, size=size, mode="bilinear", align_corners=True).squeeze(1)
    return torch.where(replaced[:, None, None].to(maps.device), gates.to(maps), maps)
