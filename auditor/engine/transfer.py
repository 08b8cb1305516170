"""Transfers between the host and a GPU that nobody waits for: what is sent and fetched lies in pinned memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Arriving", "sent"]


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device; a GPU takes it in its turn, while the host goes on.

    An ordinary copy to a GPU waits until all is done that the GPU was given before.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Arriving:
    """Tensors on their way from their device to the host; from a CPU they are there at once.

    Parameters
    ----------
    tensors : sequence of Tensor
        On one device.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._arrived: torch.cuda.Event | None = None
        if not tensors[0].is_cuda:
            self._copies = [one.cpu() for one in tensors]
            return
        self._copies = [torch.empty_like(one, device="cpu", pin_memory=True) for one in tensors]
        for copy, one in zip(self._copies, tensors, strict=True):
            copy.copy_(one, non_blocking=True)
        self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._arrived.record(torch.cuda.current_stream(tensors[0].device))

    def arrays(self) -> list[np.ndarray[Any, Any]]:
        """Wait until they are there, and for nothing that the device was given since."""
        if self._arrived is None:
            return [copy.numpy() for copy in self._copies]
        self._arrived.synchronize()
        return [copy.numpy().copy() for copy in self._copies]  # pinned memory is scarce
