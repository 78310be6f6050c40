"""Device, precision, threads and determinism, decided once and handed to whoever computes."""

import ctypes
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from abn.errors import AbnError
from abn.params import Runtime

Module = TypeVar("Module", bound=nn.Module)

CHANNELS_LAST = torch.channels_last
"""Memory layout of images and weights: the faster one on processors and on GPUs."""


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's mallopt(3)."""


@dataclass(frozen=True)
class Engine:
    """Where and how precisely to compute."""

    device: torch.device
    precision: str
    """fp32 or bf16."""
    batch_size: int
    """Images at once where nothing is learned."""

    def place(self, module: Module) -> Module:
        """Give ``module`` on the device, its weights laid out as the images are."""
        return module.to(self.device).to(memory_format=CHANNELS_LAST)

    def autocast(self) -> AbstractContextManager[None]:
        """Give the context in which the network runs; with fp32 it does nothing."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=True
        )


def start(runtime: Runtime, seed: int) -> Engine:
    """Set torch up as params say and give the engine.

    Raises:
        AbnError: The device that params name is not there.
    """
    _keep_freed_memory()
    torch.set_num_threads(runtime.threads)
    torch.manual_seed(seed)
    if runtime.deterministic:
        # cuBLAS reads it when it starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(runtime.deterministic)
    # Nothing here reads memory that it has not written; filling it first costs a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not runtime.deterministic
    device = _device(runtime.device)
    precision = runtime.precision
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    return Engine(device, precision, runtime.batch_size)


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed: each step frees its activations and the next wants them again.

    Given back to the system, every page of them would have to be fetched and zeroed anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_MMAP_MAX, 0)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise AbnError(
            f"runtime.device is {name}, and torch sees {torch.cuda.device_count()} GPU(s); "
            "set runtime.device: auto"
        )
    return device


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001 (no public way yet)
