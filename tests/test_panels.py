"""Panels: the same few test items across every arm, as pictures, clips or points, and their place in the report."""

import io

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from PIL import Image
from untrained import published

from analysis import panels as shown
from bridgelab import panels
from bridgelab.domains import Samples, get_domain
from bridgelab.lab import Lab
from bridgelab.latents import Latents
from bridgelab.passage import open_passage


def samples(name: str) -> Samples:
    rng, labels = np.random.default_rng(0), np.arange(40) % 10
    return Samples(rng.random((40, *get_domain(name).sample_shape), np.float32), labels)


@pytest.fixture
def spoken(lab: Lab) -> pd.DataFrame:
    passage = open_passage(published(lab, "mnist", "fsdd").trial_id, lab)
    found = panels.panel(passage, {"a": samples("mnist"), "b": samples("fsdd")})
    return pd.DataFrame([vars(one) for one in found])


def test_a_panel_has_the_first_item_of_each_class_both_ways(spoken: pd.DataFrame) -> None:
    pictures = spoken[(spoken["kind"] == "transfer") & (spoken["medium"] == "png")]
    counts = pictures.groupby(["direction", "row"]).size()
    assert (counts == 10).all()
    assert len(counts) == 2 * 4
    originals = pictures[(pictures["direction"] == "ab") & (pictures["row"] == "original")]
    assert originals["true_class"].tolist() == list("0123456789")
    first = np.asarray(Image.open(io.BytesIO(originals["data"].iloc[0])))
    assert np.array_equal(first, np.rint(samples("mnist").x[0].reshape(28, 28) * 255).astype(np.uint8))


def test_what_is_a_sound_can_be_heard(spoken: pd.DataFrame) -> None:
    clips = spoken[spoken["medium"] == "wav"]
    of_speech = {("ab", "transferred"), *(("ba", row) for row in ("original", "source", "reconstructed"))}
    assert set(zip(clips["direction"], clips["row"], strict=True)) == of_speech
    heard, rate = soundfile.read(io.BytesIO(clips["data"].iloc[0]))
    assert (rate, len(heard)) == (8000, get_domain("fsdd").sound.n_samples)


def test_latents_that_were_drawn_have_no_original(lab: Lab) -> None:
    passage = open_passage(published(lab, "mnist", "fsdd_wave").trial_id, lab)
    z_ND = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    drawn = Latents(z_ND, np.zeros_like(z_ND), np.arange(40) % 10)
    found = pd.DataFrame([vars(one) for one in panels.panel(passage, {"a": samples("mnist"), "b": drawn})])
    shown = found[(found["kind"] == "transfer") & (found["medium"] == "png")]
    assert set(shown[shown["direction"] == "ab"]["row"]) == {"original", "source", "reconstructed", "transferred"}
    assert set(shown[shown["direction"] == "ba"]["row"]) == {"source", "reconstructed", "transferred"}
    clips = found[(found["medium"] == "wav") & (found["direction"] == "ba")]
    heard, rate = soundfile.read(io.BytesIO(clips["data"].iloc[0]))
    assert rate == 4000
    with torch.inference_mode():
        decoded = passage.lands["b"].decode(torch.from_numpy(z_ND[:1]))[0]
    assert np.allclose(heard, decoded, atol=1e-4)


def test_the_ways_have_their_three_rows(spoken: pd.DataFrame) -> None:
    ways = spoken[spoken["kind"] != "transfer"]
    assert (ways.groupby(["kind", "direction", "row"]).size() == panels.N_STEPS).all()
    assert set(ways["row"]) == {"source", "target", "transferred"}


def test_points_of_the_plane_are_kept_as_points(lab: Lab, plane, make_trial) -> None:
    from bridgelab.base_models import Identity
    from bridgelab.bridge.pack import Member, initial_weights
    from bridgelab.encoding import encode
    from bridgelab.trial import save_bridge

    trial = make_trial()
    a, b = (encode(Identity(), plane[side]["train"]) for side in "ab")
    save_bridge(lab, trial, initial_weights(Member(trial, a, b, 2)))
    domain = get_domain("plane")
    panels.make(lab, {"a": domain.load("a")["test"], "b": domain.load("b")["test"]}, [trial.trial_id])
    found = pq.read_table(io.BytesIO(lab.read(f"panels/{trial.trial_id}.parquet"))).to_pandas()
    assert set(found["medium"]) == {"points"}
    sources = found[(found["direction"] == "ab") & (found["row"] == "source") & (found["place"] == 0)]
    points = np.frombuffer(sources["data"].iloc[0], "<f4").reshape(-1, 2)
    test = plane["a"]["test"]
    assert np.array_equal(points, test.x[test.labels == 0][: panels.N_POINTS])
    fig = shown.points({"full": found, "vanilla": found})
    assert len(fig.data) == 2 * len(found)


def test_the_report_shows_the_same_items_in_every_arm(spoken: pd.DataFrame) -> None:
    html = shown.pictures({"bridge": spoken, "<Procrustes>": spoken}, "bridge")
    one_way, sources = 2 * 10, 10
    there_and_back = 10 + 10 + 2 * 10  # samples, their base model's, both arms'
    assert html.count("<audio") == one_way + sources + there_and_back
    assert html.count('<button class="play" aria-label="play: ') == html.count("<audio")
    assert "&lt;Procrustes&gt;" in html
    assert 'alt="3, read as ' in html
    assert shown.points({"bridge": spoken}) is None


def test_the_fixed_points_of_interpolations_are_marked(spoken: pd.DataFrame) -> None:
    html = shown.pictures({"bridge": spoken}, "bridge")
    ends, rows, kinds, ways = 2, 3, 2, 2
    assert html.count('class="fixed"') == ends * rows * kinds * ways


def test_a_study_without_panels_has_no_such_section(lab: Lab) -> None:
    assert shown.pictures({}, "bridge") == ""
    assert shown.points({}) is None
