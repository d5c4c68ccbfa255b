"""From a study, ours or a user's own, to arms and trials."""

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from bridgelab.config import Study, Times, canonical_json
from bridgelab.domains import get_domain
from bridgelab.errors import BridgelabError, InvalidValueError, UnknownNameError, UserFileError
from bridgelab.search import ResolvedSearch, next_generation, resolve_any
from bridgelab.specs import trial_of
from bridgelab.study import Selection, load_study, resolve, study_names


@pytest.mark.parametrize("name", study_names())
@pytest.mark.parametrize("preset", ["smoke", "desk", "full"])
@pytest.mark.parametrize("pair", ["digits-digits", "plane-plane"])
@pytest.mark.parametrize("recipe", [None, "default", "paper", "few_labels"])
def test_every_study_resolves_in_every_preset_pair_and_recipe(
    name: str, preset: str, pair: str, recipe: str | None
) -> None:
    selection = Selection(pair=pair, preset=preset, recipe=recipe)
    # "same labels" needs two models of one set, and there are no pictures in the plane
    refused = {"ambiguities": "hold different samples", "pixel_baselines": "goes between pictures"}
    if pair == "plane-plane" and name in refused:
        with pytest.raises(InvalidValueError, match=refused[name]):
            resolve(name, selection)
        return
    resolved = resolve_any(name, selection)
    if isinstance(resolved, ResolvedSearch):
        confirmed = resolved.confirmation(next_generation(resolved, [])[1:])
        assert len(confirmed.arms) == 1 + resolved.search.bracket
        assert confirmed.reference == "reference"
        return
    assert len(resolved.members) == len(resolved.arms) * resolved.n_replicates
    assert resolved.reference in {arm.name for arm in resolved.arms}


@pytest.mark.parametrize("recipe", ["default", "paper", "few_labels"])
def test_a_grid_around_the_recipe_has_the_recipe_in_its_middle_and_as_its_reference(recipe: str) -> None:
    resolved = resolve("beta_weights", Selection(recipe=recipe))
    arms = {arm.name: arm for arm in resolved.arms}
    assert arms[resolved.reference].settings == resolved.base
    assert list(arms)[len(arms) // 2] == resolved.reference


def test_only_numbers_are_multiplied() -> None:
    study = Study(name="mine", question="?", grid={"bridge.heads": Times((1, 2))})
    with pytest.raises(InvalidValueError, match="only a number"):
        resolve(study)


def test_a_study_starts_from_its_own_recipe_unless_another_is_asked_for() -> None:
    assert resolve("ambiguities").recipe == "paper"
    assert resolve("ambiguities", Selection(recipe="default")).recipe == "default"


def test_label_counts_are_those_of_the_domain() -> None:
    arms = resolve("label_efficiency").arms
    assert [arm.varies for arm in arms] == [{"n_labels": n} for n in get_domain("digits").label_counts]


def test_table_3_on_the_digits_is_48_bridges() -> None:
    resolved = resolve("label_efficiency")
    assert (len(resolved.arms), resolved.n_replicates, len(resolved.members)) == (6, 8, 48)


def test_the_full_bridge_is_one_trial_in_both_tables() -> None:
    by_labels = {m.trial.trial_id for m in resolve("label_efficiency").members if m.arm.name == "n_labels=all"}
    by_component = {m.trial.trial_id for m in resolve("component_ablation").members if m.arm.name == "full"}
    assert by_labels == by_component


def test_every_arm_says_what_every_varied_key_stands_at() -> None:
    arms = {arm.name: arm.varies for arm in resolve("component_ablation").arms}
    assert arms["vanilla"]["bridge.conditional"] is False
    assert arms["vanilla"]["bridge.beta_swd"] == 0.0
    assert all(arm.keys() == arms["full"].keys() for arm in arms.values())


def test_two_models_of_one_domain_are_two_initialisations() -> None:
    for member in resolve("label_efficiency").members:
        assert member.trial.base_a.seed == 2 * member.replicate
        assert member.trial.base_b.seed == 2 * member.replicate + 1


def test_all_arms_of_a_replicate_share_base_models_and_seeds() -> None:
    for replicate in range(8):
        trials = [m.trial for m in resolve("component_ablation").members if m.replicate == replicate]
        shared = {(t.base_a.model_id, t.base_b.model_id, t.label_seed, t.bridge_seed) for t in trials}
        assert len(shared) == 1


def test_trials_that_share_their_models_have_the_ids_that_they_have_alone() -> None:
    trials = [member.trial for member in resolve("component_ablation", Selection(n_replicates=2)).members]
    assert len({id(model) for t in trials for model in (t.base_a, t.base_b, t.judge_a, t.judge_b)}) == 5
    for trial in trials:
        alone = trial_of(json.loads(canonical_json(trial)))
        assert (trial.trial_id, trial.judge_id, trial.shape) == (alone.trial_id, alone.judge_id, alone.shape)
        assert (trial.base_a.latents_id, trial.base_b.model_id) == (alone.base_a.latents_id, alone.base_b.model_id)


def test_base_seeds_are_shared_by_replicates_in_turn() -> None:
    members = resolve("label_efficiency", Selection(n_replicates=5, n_base=2)).members
    assert {m.replicate: m.trial.base_a.seed for m in members} == {0: 0, 1: 2, 2: 0, 3: 2, 4: 0}


def test_more_replicates_leave_the_first_ones_as_they_are() -> None:
    few, many = (resolve("label_efficiency", Selection(n_replicates=n)) for n in (8, 10))
    ids = {m.trial.trial_id for m in few.members}
    assert ids < {m.trial.trial_id for m in many.members}
    assert len(many.members) - len(few.members) == 12


def test_an_override_reaches_every_arm_but_not_what_the_study_varies() -> None:
    resolved = resolve("label_efficiency", Selection(overrides={"bridge.beta_swd": 2.0}))
    assert {arm.settings.bridge.beta_swd for arm in resolved.arms} == {2.0}
    with pytest.raises(InvalidValueError, match="varies it"):
        resolve("label_efficiency", Selection(overrides={"n_labels": 10}))


def test_the_paper_recipe_is_the_papers_text() -> None:
    bridge = resolve("component_ablation", Selection(recipe="paper")).arms[2].settings.bridge
    assert (bridge.reconstruction, bridge.beta_kl, bridge.beta_swd, bridge.beta_cls) == ("sum", 0.05, 1.0, 0.05)
    assert (bridge.learning_rate, bridge.lr_decay_from) == (1e-3, 1.0)


@pytest.mark.parametrize(
    ("selection", "error", "said"),
    [
        (Selection(preset="dsk"), UnknownNameError, "did you mean 'desk'"),
        (Selection(recipe="papers"), UnknownNameError, "did you mean 'paper'"),
        (Selection(pair="digits-plan"), UnknownNameError, "did you mean 'plane'"),
        (Selection(n_replicates=0), InvalidValueError, "--seeds 0"),
        (Selection(n_replicates=100_000), InvalidValueError, "at most 1000"),
        (Selection(n_replicates=2.5), InvalidValueError, "whole number"),
        (Selection(overrides={"bridge.overlap": "same"}), UnknownNameError, "did you mean 'overlap'"),
        (Selection(n_base=-1), InvalidValueError, "--base-seeds -1"),
        (Selection(overrides={"bridge.widht": 1}), UnknownNameError, "no key 'bridge.widht'"),
        (Selection(pair="plane-plane", overrides={"overlap": "disjoint"}), InvalidValueError, "different samples"),
        (Selection(overrides={"labelled": "same", "overlap": "disjoint"}), InvalidValueError, "no image in common"),
        (Selection(overrides={"bridge.n_steps": True}), InvalidValueError, "valid integer"),
        (Selection(overrides={"bridge.n_steps": "100"}), InvalidValueError, "valid integer"),
        (Selection(overrides={"bridge.beta_swd": "1"}), InvalidValueError, "valid number"),
        (Selection(overrides={"bridge.conditional": 1}), InvalidValueError, "valid boolean"),
        (Selection(pair="plane-plane", overrides={"vae.latent_dim": 4}), InvalidValueError, "no trained vae"),
    ],
)
def test_a_selection_that_cannot_be_is_explained(selection: Selection, error: type[BridgelabError], said: str) -> None:
    with pytest.raises(error, match=said):
        resolve("label_efficiency", selection)


def test_more_labels_than_samples_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="1259 training samples"):
        resolve("component_ablation", Selection(overrides={"n_labels": 2000}))
    with pytest.raises(InvalidValueError, match="629 training samples"):
        resolve("component_ablation", Selection(overrides={"n_labels": 1000, "overlap": "disjoint"}))


OWN = """
from bridgelab import Study

def study():
    return Study(name="mine", question="Does width help?", grid={"bridge.hidden_dim": [16, 32]})
"""


def test_a_study_of_the_users_own_works_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    resolved = resolve(str(path), Selection(preset="smoke"))
    assert [arm.name for arm in resolved.arms] == ["bridge.hidden_dim=16", "bridge.hidden_dim=32"]
    assert resolved.source_sha256 is not None


@pytest.mark.parametrize("values", ["range(16, 33, 16)", "(16, 32)", "numpy.array([16, 32])", "[numpy.int64(16), 32]"])
def test_the_values_of_a_grid_may_come_as_people_write_them(tmp_path: Path, values: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import numpy\n" + OWN.replace("[16, 32]", values))
    arms = resolve(str(path), Selection(preset="smoke")).arms
    assert [arm.varies for arm in arms] == [{"bridge.hidden_dim": 16}, {"bridge.hidden_dim": 32}]


def test_a_resolved_study_says_which_command_runs_it_again(tmp_path: Path) -> None:
    path = tmp_path / "my study.py"
    path.write_text(OWN)
    overrides = {"bridge.beta_swd": 2, "bridge.heads": "linear", "bridge.conditional": False}
    chosen = Selection(preset="smoke", n_replicates=3, n_base=2, overrides=overrides)
    words = shlex.split(resolve(str(path), chosen).command)
    assert words[:3] == ["bridgelab", "sweep", str(path)]
    options = "--pair digits-digits --preset smoke --recipe default --seeds 3 --base-seeds 2"
    assert " ".join(words[3:13]) == options
    assert words[14::2] == ["bridge.beta_swd=2.0", "bridge.heads=linear", "bridge.conditional=false"]


def test_the_source_of_a_users_study_is_part_of_its_id(tmp_path: Path) -> None:
    ids = set()
    for source in (OWN, OWN + "# another comment\n"):
        (tmp_path / "mine.py").write_text(source)
        ids.add(resolve(str(tmp_path / "mine.py")).study_id)
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def study(:\n", r"mine\.py:1: "),
        ("x = 1\n", "no function study"),
        ("def study():\n    return 3\n", "returned int"),
        ("def study():\n    return {}['x']\n", "KeyError"),
        ("import nothing_like_this\n", "ModuleNotFoundError"),
        (OWN.replace("bridge.hidden_dim", "bridge.hiden_dim"), "did you mean 'bridge.hidden_dim'"),
        (OWN.replace("[16, 32]", "['wide']"), "bridge.hidden_dim=wide"),
        (OWN.replace('question="Does width help?", ', ""), "question"),
        (OWN.replace('"mine"', '"../../mine"'), "small letters, digits and _"),
        (OWN.replace("[16, 32]", "[]"), "no value"),
        (OWN.replace("[16, 32]", "[16, 16]"), "a value twice"),
        (OWN.replace("[16, 32]", "[[16], 32]"), r"grid 'bridge\.hidden_dim' needs values in a list"),
        (OWN.replace("[16, 32]", "16"), "grid"),
        (OWN.replace("[16, 32]", "{16, 32}"), "grid"),
        (OWN.replace("[16, 32]", "[True]"), "bridge.hidden_dim=true"),
        (OWN.replace("[16, 32]", "['16']"), "bridge.hidden_dim='16'"),
        (OWN.replace("[16, 32]}", "[16, 32]}, ladder=['narrow']"), "no arm in study 'mine', 'narrow'"),
        (OWN.replace("[16, 32]}", "[16, 32]}, leave_one_out={'x': 'narrow'}"), "'narrow'"),
        (OWN.replace("[16, 32]}", "[16, 32]}, reference='narrow'"), "'narrow'"),
        (OWN.replace("[16, 32]}", "[16, 32]}, primary_metric='transfer'"), "no metric in study 'mine', 'transfer'"),
        (OWN.replace("[16, 32]}", "[16, 32]}, arms={'a': {}}"), "either grid or arms"),
        (OWN.replace("[16, 32]}", "[16, 32]}, gird={}"), "gird"),
        (OWN.replace("[16, 32]}", "[16, 32]}, pair='digits'"), "SOURCE-TARGET"),
        (OWN.replace("[16, 32]", "[16, '32']"), "bridge.hidden_dim='32'"),
        (OWN.replace('"mine"', '"heads"'), "'heads' is the name of a study that comes with bridgelab"),
        ("raise SystemExit\n", "SystemExit"),
    ],
)
def test_a_study_file_that_does_not_work_is_one_line_with_its_name(tmp_path: Path, source: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(BridgelabError, match=said) as error:
        resolve(str(path))
    assert "\n" not in str(error.value)


def test_a_study_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UserFileError, match=r"nowhere/mine\.py"):
        load_study("nowhere/mine.py")


MAPS = [
    ({"A": "B", "B": "A"}, (1, 0)),
    ({"A": "A", "B": "B"}, (0, 1)),
]


@pytest.mark.parametrize(("class_map", "places"), MAPS)
def test_a_class_map_is_given_by_names(class_map: dict[str, str], places: tuple[int, int]) -> None:
    own = Study(name="mine", question="?", pair="plane-plane", class_map=class_map, grid={"n_labels": [10]})
    assert resolve(own).arms[0].settings.class_map == places


@pytest.mark.parametrize(
    ("class_map", "said"),
    [
        ({"A": "B"}, "'B' has none"),
        ({"A": "B", "B": "B"}, "two classes have the same"),
        ({"A": "B", "b": "A"}, "no class of plane 'b'"),
        ({"A": "B", "B": "C"}, "no class of plane 'C'"),
    ],
)
def test_a_class_map_that_is_not_one_to_one_is_refused(class_map: dict[str, str], said: str) -> None:
    own = Study(name="mine", question="?", pair="plane-plane", class_map=class_map, grid={"n_labels": [10]})
    with pytest.raises(BridgelabError, match=said):
        resolve(own)


def test_a_study_may_be_given_as_itself() -> None:
    own = Study(name="mine", question="?", grid={"bridge.hidden_dim": [16, 32]})
    assert [arm.name for arm in resolve(own).arms] == ["bridge.hidden_dim=16", "bridge.hidden_dim=32"]


def test_an_unknown_study_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'label_efficiency'"):
        load_study("label_eficiency")


def test_of_two_base_models_the_narrower_is_made_as_wide() -> None:
    from bridgelab.config import VAEConfig
    from bridgelab.sides import of_one_width

    a, b = of_one_width(VAEConfig(latent_dim=16, hidden_dim=7), VAEConfig(latent_dim=32))
    assert (a.latent_dim, b.latent_dim, a.hidden_dim) == (32, 32, 7)
    assert of_one_width(None, VAEConfig(latent_dim=3)) == (None, VAEConfig(latent_dim=3))


@pytest.mark.data
def test_the_more_demanding_domain_says_how_whichever_side_it_is_on() -> None:
    ways = ("mnist-fashion_mnist", "fashion_mnist-mnist")
    data = os.environ["BRIDGELAB_DATA"]
    there, back = (resolve("transfer_pairs", Selection(pair=pair), data).base.bridge for pair in ways)
    assert there == back
    assert there.beta_cls != resolve("transfer_pairs", Selection(pair="mnist-mnist"), data).base.bridge.beta_cls


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A data folder with the names of clips, which is all that a study asks for."""
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for digit in range(10):
        for index in range(10):
            (folder / f"{digit}_theo_{index}.wav").write_text(f"{digit} {index}")
    return tmp_path


def waves(data: Path, pair: str = "digits-fsdd_wave", **overrides: object):
    return resolve("transfer_pairs", Selection(pair=pair, preset="smoke", overrides=overrides), data)


def test_the_latents_of_a_wavegan_are_drawn_under_its_judge(clips: Path) -> None:
    trial = waves(clips).members[0].trial
    assert (trial.base_a.kind, trial.base_b.kind) == ("vae", "wavegan")
    assert trial.base_a.drawn is None
    assert trial.base_b.drawn.judge_id == trial.judge_b.model_id
    assert trial.settings.wavegan_b.latent_dim == trial.settings.vae_a.latent_dim == 16
    assert trial_of(json.loads(canonical_json(trial))) == trial
    other = waves(clips, **{"rejection.n_per_class": 24}).members[0].trial
    assert other.base_b.model_id == trial.base_b.model_id
    assert other.trial_id != trial.trial_id
    another_judge = waves(clips, **{"judge.n_steps": 7}).members[0].trial
    assert another_judge.base_b.latents_id != trial.base_b.latents_id


def test_there_are_as_many_labels_as_latents_are_drawn_to_train_on(clips: Path) -> None:
    assert waves(clips, n_labels=120).base.n_labels == 120  # twelve of sixteen in each class
    with pytest.raises(InvalidValueError, match="digits-fsdd_wave has 40 training samples"):
        waves(clips, n_labels=120, **{"rejection.n_per_class": 8})


def test_what_cannot_be_with_a_wavegan_is_explained(clips: Path) -> None:
    with pytest.raises(InvalidValueError, match="--set vae.latent_dim=N --set wavegan.latent_dim=N makes them equal"):
        waves(clips, **{"wavegan.latent_dim": 7})
    with pytest.raises(InvalidValueError, match="overlap=disjoint: fsdd_wave and fsdd_wave hold different samples"):
        waves(clips, "fsdd_wave-fsdd_wave", overlap="disjoint")


def test_an_imported_wavegan_is_one_model_whatever_the_seed_and_the_training(clips: Path) -> None:
    imported = {"wavegan.imported": "sha256:0123456789abcdef0123"}
    first, second = (m.trial.base_b for m in waves(clips, **imported).members)
    assert first == second
    assert waves(clips, **imported, **{"wavegan.n_steps": 9}).members[0].trial.base_b == first
    with pytest.raises(InvalidValueError, match="wavegan.imported=x: .*pattern"):
        waves(clips, **{"wavegan.imported": "x"})


@pytest.mark.parametrize("pair", ["digits-digits", "plane-plane"])
def test_few_labels_is_the_default_recipe_with_its_labels_spread(pair: str) -> None:
    default, few = (
        resolve("label_efficiency", Selection(pair=pair, recipe=recipe)).base for recipe in ("default", "few_labels")
    )
    assert few == replace(default, label_spreading=True)


def test_where_no_label_can_spread_a_trial_is_what_it_was() -> None:
    trials = [
        {m.arm.name: m.trial.trial_id for m in resolve("label_efficiency", Selection(recipe=recipe)).members}
        for recipe in ("default", "few_labels")
    ]
    assert trials[0]["n_labels=0"] == trials[1]["n_labels=0"]
    assert trials[0]["n_labels=10"] != trials[1]["n_labels=10"]
