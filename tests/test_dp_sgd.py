"""DP-SGD: bounds on epsilon of models trained with noise lie below the accountant's; without noise they do not."""

from pathlib import Path

import dp_sgd
import pytest

pytest.importorskip("opacus")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_bounds_lie_below_the_accountants_epsilon(tmp_path: Path) -> None:
    """Three runs with noise; and one without, which shows that these canaries could have shown more."""
    epsilon = dp_sgd.accounted(8.0, dp_sgd.STEPS)
    assert epsilon is not None
    assert epsilon == pytest.approx(1.22, abs=0.02)
    for seed in range(3):
        (tmp_path / str(seed)).mkdir()
        (tier,) = dp_sgd.one_run(tmp_path / str(seed), 8.0, steps=dp_sgd.STEPS, seed=seed).tiers
        assert tier.epsilon.epsilon_lower_bound is not None
        assert tier.epsilon.epsilon_lower_bound <= epsilon
    (tmp_path / "bare").mkdir()
    (tier,) = dp_sgd.one_run(tmp_path / "bare", 0.0, steps=dp_sgd.STEPS, seed=0).tiers
    assert tier.epsilon.epsilon_lower_bound is not None
    assert tier.epsilon.epsilon_lower_bound > epsilon
