"""The simulation of many GPUs agrees with what can be worked out by hand, and with what plans do."""

from dataclasses import replace

import pytest
from simulation import MEMBERS, Costs, Load, load_of, most_gpus, simulate

from bridgelab.lab import Lab
from bridgelab.planning import plan
from bridgelab.study import Selection

FREE = Costs(
    start_s=0.0,
    plan_trial_s=0.0,
    pack_s=0.0,
    report_s=0.0,
    publish_s=0.0,
    publish_mb_s=0.0,
    worker_start_s=0.0,
    report_every_s=0.5,
    most_reports_per_s=50,
    most_pending=64,
)


def test_a_driver_that_costs_nothing_keeps_every_gpu_busy() -> None:
    found = simulate(Load(4, (8,) * 8, (10.0,) * 8), FREE)
    assert found.makespan_s == pytest.approx(20.0)
    assert found.utilisation == pytest.approx(1.0)
    assert found.driver == 0.0


def test_one_gpu_waits_for_all_that_the_driver_does() -> None:
    costs = replace(
        FREE,
        start_s=5.0,
        plan_trial_s=0.01,
        pack_s=0.2,
        report_s=0.1,
        publish_s=0.2,
        publish_mb_s=0.1,
        worker_start_s=2.0,
    )
    found = simulate(Load(1, (5, 5), (1.0, 1.0), trial_mb=0.2), costs)
    # A report in the middle of each pack, and one at its end.
    assert found.makespan_s == pytest.approx(5.0 + 0.1 + 2.0 + 2 * (0.2 + 0.5 + 0.1 + 0.5 + 0.1 + 0.3))


def test_a_driver_that_hears_too_much_sets_the_pace() -> None:
    slow = replace(FREE, report_s=0.1, most_reports_per_s=float("inf"))
    found = simulate(Load(100, (1,) * 100, (10.0,) * 100), slow)
    assert found.driver == pytest.approx(1.0, abs=0.01)
    assert found.makespan_s == pytest.approx(100 * 20 * 0.1, rel=0.01)
    assert simulate(Load(100, (1,) * 100, (10.0,) * 100), replace(slow, most_reports_per_s=5)).makespan_s < 25


def test_workers_that_start_one_after_the_other_are_waited_for() -> None:
    seconds = {
        n: simulate(Load(64, (1,) * 64, (10.0,) * 64), replace(FREE, worker_start_s=1.0, most_pending=n)).makespan_s
        for n in (1, 64)
    }
    assert seconds[1] >= 20 > seconds[64] == pytest.approx(11.0)


@pytest.mark.parametrize(("share", "least", "most"), [(0.5, 0.4, 0.6), (3.0, 0.9, 1.0)])
def test_beyond_so_many_gpus_the_driver_is_always_busy(share: float, least: float, most: float) -> None:
    costs = replace(FREE, pack_s=0.05, report_s=0.002, publish_s=0.1, publish_mb_s=0.01)
    gpus = round(share * most_gpus(costs, 20.0, trial_mb=0.1))
    found = simulate(Load(gpus, (MEMBERS,) * 8 * gpus, (20.0,) * 8 * gpus, trial_mb=0.1), costs)
    assert least < found.driver <= most


@pytest.mark.parametrize(("gpus", "n_replicates"), [(8, 20), (64, 200), (512, 200)])
def test_packs_are_simulated_as_they_are_planned(lab: Lab, gpus: int, n_replicates: int) -> None:
    many = Selection(pair="plane-plane", preset="smoke", n_replicates=n_replicates)
    found = plan("component_ablation", lab=lab, selection=many, n_workers=gpus, device="cuda")
    simulated = load_of(gpus, len(found.states), pack_s=64.0, trial_mb=0.0)
    assert sorted(simulated.seconds) == sorted(max(len(pack.entries), 16.0) for pack in found.packs)
