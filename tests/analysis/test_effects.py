"""Main effects and interactions of a full grid, on values made of known ones."""

import pytest

import analysis
from bridgelab.config import Study

GRID = Study(name="grid", question="?", grid={"bridge.beta_kl": [0.1, 0.2, 0.4], "bridge.beta_cls": [1.0, 3.0]},
             reference="bridge.beta_kl=0.2, bridge.beta_cls=1.0")  # fmt: skip
SPREAD = (0.003, -0.001, 0.002, 0.0, -0.002, 0.001, -0.003, 0.004)


def value(arm: str, replicate: int, metric: str) -> float:
    """A heavier KL costs 0.1, a heavier classifier brings 0.05, both together 0.02 more."""
    heavy, cls = "kl=0.4" in arm, "cls=3.0" in arm
    noise = SPREAD[(replicate + 3 * cls + 5 * heavy) % 8] / 10
    return 0.5 + 0.03 * replicate - 0.1 * heavy + 0.05 * cls + 0.02 * (heavy and cls) + noise


@pytest.fixture
def found(lab, fill):
    fill(GRID, value, n_replicates=8)
    return analysis.list_effects(analysis.read_run(lab, "grid")).set_index("effect")


def test_a_main_effect_is_averaged_over_the_other_keys(found) -> None:
    heavier = found.loc["bridge.beta_kl = 0.4 against 0.2"]
    assert heavier["difference"] == pytest.approx(-0.1 + 0.01, abs=1e-3)
    assert heavier["verdict"] == "lower"
    assert found.loc["bridge.beta_cls = 3.0 against 1.0", "difference"] == pytest.approx(0.05 + 0.02 / 3, abs=1e-3)
    assert found.loc["bridge.beta_kl = 0.1 against 0.2", "verdict"] == "none shown"


def test_an_interaction_is_a_difference_of_differences(found) -> None:
    together = found[found["kind"] == "interaction"]
    assert len(together) == 1
    assert together["difference"].iloc[0] == pytest.approx(0.02, abs=1e-3)
    assert together["verdict"].iloc[0] == "higher"
    assert together.index[0] == "bridge.beta_cls (1.0 → 3.0) x bridge.beta_kl (0.1 → 0.4)"


def test_the_table_shows_them(lab, fill) -> None:
    fill(GRID, value, n_replicates=8)
    assert "each key by itself, and two together" in analysis.render(analysis.read_run(lab, "grid"))


def test_arms_that_are_no_grid_have_none(lab, fill) -> None:
    fill("component_ablation", lambda arm, replicate, metric: 0.5)
    assert analysis.list_effects(analysis.read_run(lab, "component_ablation")).empty
