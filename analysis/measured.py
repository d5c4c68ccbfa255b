"""What was measured of a run's trials: of the rows of `metrics` those that its members stand for.

Shapes: M members and nobody, D decodings and none of them, K metrics, R rows. There may be millions of rows: each
column of them is numbers of 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bridgelab.columns import Where
from bridgelab.errors import LabError
from bridgelab.metrics import METRIC_VERSION
from bridgelab.results import Results

DECODES = ["mean", "sample"]
MOST_METRICS, MOST_CELLS = 256, 1 << 28
"""A run has some dozens of metrics, and a few judges; of more there would be more cells than memory."""
NO_DECODE = 2
"""As before both were kept."""
OTHER = np.array([1, 0, NO_DECODE])
"""The other decoding of each."""

Places = NDArray[np.int32]


def values_of(members: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The metrics on test of members, under the judges and the decoding of each: a row a member and metric, in order.

    Columns: arm_index, replicate, trial_id, metric, value, n_eval, and other, the value under the other
    decoding. Of attempts the latest one that has a value counts: a GAN reconstructs nothing.
    """
    where: Where = {
        "split": ["test"],
        "metric_version": [METRIC_VERSION],
        "trial_id": members["trial_id"].tolist(),
    }
    columns = ["trial_id", "judge_id", "decode", "metric", "attempt", "value", "n_eval"]
    rows = results.read_columns("metrics", columns, where=where)
    metrics = rows["metric"].unique().to_pylist()
    if len(metrics) > MOST_METRICS or members["trial_id"].nunique() * members["judge_id"].nunique() > MOST_CELLS:
        raise LabError(f"{results.lab.location} has more metrics or judges than a study has; it is another's lab")
    keeper_M, cell_R = _cells(members, rows, metrics)
    values_MDK = np.full((len(members) + 1, len(OTHER), len(metrics)), math.nan)
    n_eval_MDK = np.zeros(values_MDK.shape, np.int32)
    value_of, n_eval_of = values_MDK.reshape(-1), n_eval_MDK.reshape(-1)
    value_R, n_eval_R, attempt_R = (rows[name].to_numpy() for name in ("value", "n_eval", "attempt"))
    for attempt in sorted(rows["attempt"].unique().to_pylist()):
        found = (attempt_R == attempt) & ~np.isnan(value_R)
        value_of[cell_R[found]], n_eval_of[cell_R[found]] = value_R[found], n_eval_R[found]
    decode_M = _places(pa.chunked_array([pa.array(members["decode"], pa.string()).dictionary_encode()]), DECODES)
    member, metric = np.nonzero(~np.isnan(values_MDK[keeper_M, decode_M]))
    keeper, decode, (trial_M, trials) = keeper_M[member], decode_M[member], pd.factorize(members["trial_id"])
    return pd.DataFrame(
        {
            "arm_index": members["arm_index"].to_numpy()[member],
            "replicate": members["replicate"].to_numpy()[member],
            "trial_id": pd.Categorical.from_codes(trial_M[member], trials),
            "metric": pd.Categorical(metrics, categories=sorted(metrics)).take(metric),
            "value": values_MDK[keeper, decode, metric],
            "n_eval": n_eval_MDK[keeper, decode, metric],
            "other": values_MDK[keeper, OTHER[decode], metric],
        }
    )


def _cells(members: pd.DataFrame, rows: pa.Table, metrics: Sequence[str]) -> tuple[Places, Places]:
    """For each member who keeps its values, since some stand for one trial; for each row its cell in (M, D, K)."""
    trial_M, trials = pd.factorize(members["trial_id"])
    judge_M, judges = pd.factorize(members["judge_id"])
    keeper_TJ = np.full((len(trials) + 1, len(judges) + 1), len(members), np.int32)
    keeper_TJ[trial_M, judge_M] = np.arange(len(members))
    cell_R = _places(rows["trial_id"], trials)
    cell_R *= len(judges) + 1
    cell_R += _places(rows["judge_id"], judges)
    cell_R = keeper_TJ.ravel()[cell_R]
    for place_R, n in (
        (_places(rows["decode"], DECODES), len(OTHER)),
        (_places(rows["metric"], metrics), len(metrics)),
    ):
        cell_R *= n
        cell_R += place_R
    return keeper_TJ[trial_M, judge_M], cell_R


def _places(texts: pa.ChunkedArray, names: object) -> Places:
    """The place of each text among some names; after the last one where it is none of them."""
    whole, known = texts.combine_chunks(), pa.array(names, pa.string())
    places = pc.index_in(whole.dictionary, value_set=known).fill_null(len(known)).to_numpy()
    found: Places = np.append(places, np.int32(len(known)))[whole.indices.fill_null(len(places)).to_numpy()]
    return found
