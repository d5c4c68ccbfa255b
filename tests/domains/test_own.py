"""A domain of the user's own, from a file."""

from pathlib import Path

import pytest
from rings import RINGS

from bridgelab.domains import get_pair
from bridgelab.errors import BridgelabError
from bridgelab.study import Selection, resolve


@pytest.fixture
def rings(tmp_path: Path) -> Path:
    path = tmp_path / "my-rings.py"  # a dash in a name is none between two domains
    path.write_text(RINGS)
    return path


def test_a_domain_of_the_users_own_stands_on_either_side_of_a_pair(rings: Path) -> None:
    for text, names in ((f"{rings}-plane", ["rings", "plane"]), (f"plane-{rings}", ["plane", "rings"])):
        pair, files = get_pair(text)
        assert [domain.name for domain in pair] == names
        assert [file.path for file in files] == [str(rings)]


def test_the_source_of_a_domain_is_part_of_every_id(rings: Path) -> None:
    selection = Selection(pair=f"{rings}-plane", preset="smoke")
    before = resolve("component_ablation", selection)
    rings.write_text(RINGS + "# another comment\n")
    after = resolve("component_ablation", selection)
    assert before.members[0].trial.base_a.model_id != after.members[0].trial.base_a.model_id
    assert before.members[0].trial.trial_id != after.members[0].trial.trial_id
    assert before.members[0].trial.base_b.model_id == after.members[0].trial.base_b.model_id


def test_the_command_of_a_run_names_the_file(rings: Path) -> None:
    resolved = resolve("component_ablation", Selection(pair=f"{rings}-plane", preset="smoke"))
    assert f"--pair {rings}-plane" in resolved.command
    assert resolved.pair_name == "rings-plane"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def domain(:\n", r"my-rings\.py:1: "),
        ("x = 1\n", r"has no function domain\(\); write `def domain\(\) -> Domain`"),
        ("def domain():\n    return 3\n", "returned int"),
        ("def domain():\n    return 1 / 0\n", "raised ZeroDivisionError"),
        (RINGS.replace('name="rings"', 'name="mnist"'), "comes with bridgelab"),
        (RINGS.replace('("inner", "outer")', '("inner",)'), "has 1 classes"),
    ],
)
def test_a_domain_file_that_does_not_work_is_one_line(rings: Path, source: str, said: str) -> None:
    rings.write_text(source)
    with pytest.raises(BridgelabError, match=said) as error:
        get_pair(f"{rings}-plane")
    assert "\n" not in str(error.value)


def test_a_domain_file_that_is_not_there_is_named() -> None:
    with pytest.raises(BridgelabError, match=r"cannot read nowhere\.py"):
        get_pair("nowhere.py-plane")
