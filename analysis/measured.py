"""What was measured of a run's trials: of the rows of `metrics` those that its members stand for.

Shapes: M members, D decodings and none of them, K metrics, R rows, T trials, J judges. A place of -1 is the last
one, and of none.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bridgelab.columns import Where
from bridgelab.metrics import METRIC_VERSION
from bridgelab.results import Results

DECODES = ["mean", "sample"]
OTHER = np.array([1, 0, -1])
"""The other decoding of each; of none, as before both were kept, none."""

Places = NDArray[np.intp]


def values_of(members: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The metrics on test of members, under the judges and the decoding of each: a row a member and metric, in order.

    Columns: arm_index, replicate, trial_id, metric, value, n_eval, and other, the value under the other
    decoding. Of attempts the latest one that has a value counts: a GAN reconstructs nothing.
    """
    where: Where = {"split": ["test"], "metric_version": [METRIC_VERSION], "trial_id": members["trial_id"].tolist()}
    columns = ["trial_id", "judge_id", "decode", "metric", "attempt", "value", "n_eval"]
    rows = results.read_columns("metrics", columns, where=where)
    metrics = rows["metric"].unique().to_pylist()
    member_M, member_R = _members(members, rows)
    decode_M = pd.Index(DECODES).get_indexer(pd.Index(members["decode"]))
    values_MDK = np.full((len(members), len(OTHER), len(metrics)), math.nan)
    n_eval_MDK = np.zeros(values_MDK.shape, np.int32)
    places = member_R, _places(rows["decode"], DECODES), _places(rows["metric"], metrics)
    cell_R = np.ravel_multi_index(places, values_MDK.shape, mode="wrap")
    attempt_R, value_R, n_eval_R = (rows[name].to_numpy() for name in ("attempt", "value", "n_eval"))
    for attempt in np.unique(attempt_R):
        found = (member_R >= 0) & ~np.isnan(value_R) & (attempt_R == attempt)
        values_MDK.flat[cell_R[found]], n_eval_MDK.flat[cell_R[found]] = value_R[found], n_eval_R[found]
    member, metric = np.nonzero(~np.isnan(values_MDK[member_M, decode_M]))
    own, decode, trials = member_M[member], decode_M[member], members["trial_id"]
    return pd.DataFrame(
        {
            "arm_index": members["arm_index"].to_numpy()[member],
            "replicate": members["replicate"].to_numpy()[member],
            "trial_id": pd.Categorical(trials, categories=trials.unique()).take(member),
            "metric": pd.Categorical(metrics, categories=sorted(metrics)).take(metric),
            "value": values_MDK[own, decode, metric],
            "n_eval": n_eval_MDK[own, decode, metric],
            "other": values_MDK[own, OTHER[decode], metric],
        }
    )


def _members(members: pd.DataFrame, rows: pa.Table) -> tuple[Places, Places]:
    """For each member, and for each row, the member that keeps the values of its trial under its judges."""
    trial_M, trials = pd.factorize(members["trial_id"])
    judge_M, judges = pd.factorize(members["judge_id"])
    keeper_TJ = np.full((len(trials) + 1, len(judges) + 1), -1)
    keeper_TJ[trial_M, judge_M] = np.arange(len(members))
    trial_R, judge_R = _places(rows["trial_id"], trials), _places(rows["judge_id"], judges)
    return keeper_TJ[trial_M, judge_M], keeper_TJ[trial_R, judge_R]


def _places(texts: pa.ChunkedArray, names: object) -> Places:
    """The place of each text among some names."""
    whole = texts.combine_chunks()
    places = pc.index_in(whole.dictionary, value_set=pa.array(names, pa.string())).fill_null(-1).to_numpy()
    found: Places = np.append(places, -1)[whole.indices.fill_null(len(places)).to_numpy()].astype(np.intp)
    return found
