"""What a trial draws: from latents in several places each item in all of them, with its label where it has one."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from bridgelab import encoding
from bridgelab.base_models import Identity
from bridgelab.bridge.losses import UNLABELLED
from bridgelab.bridge.pool import pool
from bridgelab.bridge.streams import TrialStreams
from bridgelab.config import Side
from bridgelab.domains import Samples, Split
from bridgelab.latents import Latents
from bridgelab.specs import TrialSpec


def in_two_places(one: Latents) -> Latents:
    """Each item once more, 100 to the right."""
    twice = {name: np.tile(getattr(one, name), (2, 1)) for name in ("mu", "sigma")}
    twice["mu"][len(one) :, 0] += 100
    return replace(one, **twice, labels=np.tile(one.labels, 2), n_places=2)


def test_a_moved_item_is_drawn_like_the_item_and_has_its_label(
    plane: Mapping[Side, Mapping[Split, Samples]], make_trial: Callable[..., TrialSpec]
) -> None:
    a, b = (in_two_places(encoding.encode(Identity(), plane[side]["train"])) for side in ("a", "b"))
    trial = make_trial(n_labels=10)
    chunk = TrialStreams(trial, a, b).next_chunk()
    size = trial.settings.bridge.batch_size
    assert 0.4 < float((chunk.z[:, :size, 0] > 50).float().mean()) < 0.6
    labelled = pool(trial, "a", a).labelled
    known = {tuple(a.mu[row]): a.labels[row] for row in a.rows_of(labelled)}
    drawn = chunk.z[:, 2 * size : 2 * size + trial.settings.bridge.labelled_batch_size].reshape(-1, 2)
    found = dict(zip(map(tuple, drawn.tolist()), chunk.labels[:, 0].ravel().tolist(), strict=True))
    assert UNLABELLED not in found.values()
    assert found == known
