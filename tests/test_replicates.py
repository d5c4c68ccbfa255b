"""Which seeds a replicate has."""

import pytest

from bridgelab.errors import InvalidValueError
from bridgelab.replicates import Crossed, Seeds, replicates_from
from bridgelab.study import Selection, resolve


def test_seeds_are_a_number_or_a_design() -> None:
    assert replicates_from("8") == 8
    assert replicates_from("base=4,label=2,bridge=3") == Crossed(4, 2, 3)
    assert str(Crossed(4, 2, 3)) == "base=4,label=2,bridge=3"


@pytest.mark.parametrize("text", ["0", "-1", "many", "base=4", "base=4,label=2,bridge=x", "base=0,label=2,bridge=2"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="--seeds"):
        replicates_from(text)


def test_a_design_has_every_combination_once() -> None:
    crossed = Crossed(base=2, label=3, bridge=2)
    found = [crossed.seeds(i) for i in range(crossed.n)]
    assert len(set(found)) == 12
    assert (found[0], found[1], found[-1]) == (Seeds(0, 0, 0), Seeds(0, 0, 1), Seeds(1, 2, 1))


def test_a_crossed_study_shares_its_diagonal_with_the_ordinary_one() -> None:
    def resolved(n: int | Crossed):
        return resolve("component_ablation", Selection(n_replicates=n))

    crossed, ordinary = resolved(Crossed(2, 2, 2)), resolved(2)
    assert crossed.study_id != ordinary.study_id
    assert "--seeds base=2,label=2,bridge=2" in crossed.command
    shared = {m.trial.trial_id for m in crossed.members} & {m.trial.trial_id for m in ordinary.members}
    assert shared == {m.trial.trial_id for m in ordinary.members}


def test_base_models_are_counted_in_one_place() -> None:
    with pytest.raises(InvalidValueError, match="--base-seeds 2: --seeds base=2"):
        resolve("component_ablation", Selection(n_replicates=Crossed(2, 2, 2), n_base=2))
