"""The optimiser of the capacity measurement: SOAP, which is Adam in the eigenbasis of Shampoo's statistics."""

from collections.abc import Iterable
from typing import Any

import torch

__all__ = ["Soap"]

_FIRST_REFRESHES = (2, 4, 7)
"""Steps at which the basis is refreshed besides every ``refresh_every``: it changes fastest at the start."""


class Soap(torch.optim.Optimizer):
    """SOAP of Vyas et al. 2024, for the small matrices of small models.

    The gradient ``G`` of a matrix is rotated into the eigenvectors of running means of ``G G'`` and ``G' G``; Adam
    runs there, and its step is rotated back. A side longer than ``max_side`` is not rotated (of an embedding, only
    the width is); vectors get plain Adam. With ``max_side=0`` everything does.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter
    lr : float
        To be warmed up: in its own eigenbasis the first gradient is diagonal, and Adam blows up to full size the
        rounding errors that stand beside the diagonal.
    betas : tuple of float
        Of the first and second moment; the second serves the statistics of the rotation too.
    eps : float
    refresh_every : int
        Steps between refreshes of the eigenvectors.
    max_side : int
        Longest side that is rotated.

    References
    ----------
    .. [1] Vyas et al., *SOAP: Improving and stabilizing Shampoo using Adam*, 2024, arXiv 2409.11321, algorithm 3.
       We take the first step instead of skipping it, refresh by one power step and a QR decomposition as they do,
       rotate the first moment into the new basis, and only permute the second.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        refresh_every: int = 10,
        max_side: int = 256,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "eps": eps, "refresh_every": refresh_every, "max_side": max_side},
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, self.state[parameter], group)

    def _update(self, parameter: torch.Tensor, grad: torch.Tensor, state: dict[str, Any], group: Any) -> None:
        """Take one step: statistics, moments in the eigenbasis, and the step rotated back."""
        beta1, beta2 = group["betas"]
        if not state:
            state.update(step=0, mean=torch.zeros_like(grad), square=torch.zeros_like(grad), rotation=None)
            if grad.dim() == 2 and min(grad.shape) <= group["max_side"]:
                state["rotation"] = _Rotation(grad, group["max_side"])
        state["step"] += 1
        step, rotation, mean, square = state["step"], state["rotation"], state["mean"], state["square"]
        if rotation is not None:
            rotation.observe(grad, beta2)
            grad = rotation.into(grad)
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        scale = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        update = mean / scale
        if rotation is not None:
            update = rotation.back(update)
        parameter.sub_(update, alpha=group["lr"] / (1 - beta1**step))
        if rotation is not None and (step % group["refresh_every"] == 0 or step in _FIRST_REFRESHES):
            rotation.refresh(mean, square)


class _Rotation:
    """The eigenbasis of a matrix's gradients, on each side that is short enough."""

    def __init__(self, grad: torch.Tensor, max_side: int) -> None:
        self.sides = [side for side in (0, 1) if grad.shape[side] <= max_side]
        self.statistics = {side: _outer(grad, side) for side in self.sides}
        self.basis = {
            side: torch.linalg.eigh(_normed(self.statistics[side]))[1].flip(1).contiguous() for side in self.sides
        }

    def observe(self, grad: torch.Tensor, beta: float) -> None:
        """Update the running means of ``G G'`` and ``G' G``."""
        for side in self.sides:
            self.statistics[side].lerp_(_outer(grad, side), 1 - beta)

    def into(self, matrix: torch.Tensor) -> torch.Tensor:
        """Rotate into the eigenbasis."""
        matrix = self.basis[0].T @ matrix if 0 in self.basis else matrix
        return matrix @ self.basis[1] if 1 in self.basis else matrix

    def back(self, matrix: torch.Tensor) -> torch.Tensor:
        """Rotate back."""
        matrix = self.basis[0] @ matrix if 0 in self.basis else matrix
        return matrix @ self.basis[1].T if 1 in self.basis else matrix

    def refresh(self, mean: torch.Tensor, square: torch.Tensor) -> None:
        """Move the basis one power step towards the eigenvectors, largest first, and the moments with it."""
        plain = self.back(mean)
        for side in self.sides:
            moved = self.statistics[side] @ self.basis[side]
            order = (self.basis[side] * moved).sum(0).argsort(descending=True)
            square.copy_(square.index_select(side, order))
            self.basis[side] = torch.linalg.qr(_normed(moved[:, order]))[0]
        mean.copy_(self.into(plain))


def _outer(grad: torch.Tensor, side: int) -> torch.Tensor:
    return grad @ grad.T if side == 0 else grad.T @ grad


def _normed(matrix: torch.Tensor) -> torch.Tensor:
    """Scale to norm 1: the gradients of a converging model are too small for a decomposition."""
    norm: torch.Tensor = torch.linalg.matrix_norm(matrix)
    return matrix / norm.clamp_min(1e-30)
