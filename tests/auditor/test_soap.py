"""The optimiser: Adam where nothing is rotated, blind to rotations where everything is."""

import pytest
import torch

from auditor.experiments.soap import Soap


def trajectory(
    optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter, loss: object, steps: int
) -> torch.Tensor:
    points = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss(parameter).backward()  # type: ignore[operator]
        optimizer.step()
        points.append(parameter.detach().clone())
    return torch.stack(points)


def quartic(weights: torch.Tensor) -> torch.Tensor:
    scale = torch.arange(1, weights.numel() + 1, dtype=weights.dtype).reshape(weights.shape)
    return (scale * weights**2).sum() + (weights**4).sum()


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_without_rotation_it_is_adam(shape: tuple[int, ...]) -> None:
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    found = trajectory(Soap([ours], lr=0.05, betas=(0.9, 0.99), max_side=0), ours, quartic, 50)
    expected = trajectory(torch.optim.Adam([theirs], lr=0.05, betas=(0.9, 0.99)), theirs, quartic, 50)
    assert torch.allclose(found, expected, atol=1e-9)


def test_the_basis_stays_orthonormal_and_diagonalises_the_statistics() -> None:
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    mix = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    parameter = torch.nn.Parameter(torch.zeros(6, 4, dtype=torch.float64))
    optimizer = Soap([parameter], lr=0.01)
    for _ in range(200):  # noisy gradients with a fixed covariance, as from batches
        noise = mix @ torch.randn(6, 4, generator=generator, dtype=torch.float64)
        parameter.grad = parameter.detach() - target + noise
        optimizer.step()
    rotation = optimizer.state[parameter]["rotation"]
    for side in (0, 1):
        basis = rotation.basis[side]
        assert torch.allclose(basis.T @ basis, torch.eye(len(basis), dtype=torch.float64), atol=1e-10)
    rotated = rotation.basis[0].T @ rotation.statistics[0] @ rotation.basis[0]
    off_diagonal = rotated - torch.diag(rotated.diagonal())
    assert off_diagonal.norm() < 0.15 * rotated.norm()


def test_rotating_there_and_back_changes_nothing() -> None:
    grad = torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    parameter = torch.nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))
    optimizer = Soap([parameter], lr=0.1)
    parameter.grad = grad
    optimizer.step()
    rotation = optimizer.state[parameter]["rotation"]
    assert torch.allclose(rotation.back(rotation.into(grad)), grad, atol=1e-12)


def test_a_long_side_is_not_rotated() -> None:
    parameter = torch.nn.Parameter(torch.zeros(300, 4))
    parameter.grad = torch.randn(300, 4, generator=torch.Generator().manual_seed(3))
    optimizer = Soap([parameter], lr=0.1)
    optimizer.step()
    assert optimizer.state[parameter]["rotation"].sides == [1]


def test_gradients_that_are_turned_turn_the_steps() -> None:
    """G -> U G V turns the eigenvectors, and so every step but the first; Adam has no such symmetry.

    In its own eigenbasis the first gradient is diagonal: what stands beside the diagonal is rounding, of either sign.
    """
    generator = torch.Generator().manual_seed(5)
    grads = torch.randn(25, 5, 5, generator=generator, dtype=torch.float64)
    left, right = torch.linalg.qr(torch.randn(2, 5, 5, generator=generator, dtype=torch.float64))[0]

    def path(optimizer: type[torch.optim.Optimizer], grads: torch.Tensor) -> torch.Tensor:
        parameter, points = torch.nn.Parameter(torch.zeros(5, 5, dtype=torch.float64)), []
        stepper = optimizer([parameter], lr=0.0)  # type: ignore[call-arg]
        for parameter.grad in grads:
            stepper.step()
            stepper.param_groups[0]["lr"] = 0.05
            points.append(parameter.detach().clone())
        return torch.stack(points)

    for optimizer, alike in ((Soap, True), (torch.optim.Adam, False)):
        gap = left @ path(optimizer, grads) @ right - path(optimizer, left @ grads @ right)
        assert (float(gap.abs().max()) < 1e-6) == alike


def test_it_solves_what_adam_finds_hard() -> None:
    """A quadratic whose valley lies across the axes: in the eigenbasis it lies along them."""
    generator = torch.Generator().manual_seed(4)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))[0]
    scales = torch.logspace(0, 4, 8, dtype=torch.float64)

    def loss(weights: torch.Tensor) -> torch.Tensor:
        return (scales[:, None] * (turn @ weights) ** 2).sum()

    start = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    ends = {}
    for name in ("soap", "adam"):
        parameter = torch.nn.Parameter(start.clone())
        optimizer = (
            Soap([parameter], lr=0.03) if name == "soap" else torch.optim.Adam([parameter], lr=0.03, betas=(0.9, 0.99))
        )
        trajectory(optimizer, parameter, loss, 300)
        ends[name] = float(loss(parameter.detach()))
    assert ends["soap"] < ends["adam"]


def test_the_same_gradients_give_the_same_weights() -> None:
    runs = []
    for _ in range(2):
        parameter = torch.nn.Parameter(torch.ones(4, 4))
        runs.append(trajectory(Soap([parameter], lr=0.01), parameter, quartic, 30))
    assert torch.equal(runs[0], runs[1])
