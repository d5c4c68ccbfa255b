"""How a study was made, in a paragraph written from the study itself, with what it takes to run it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from . import paper, statistics, variance
from .markup import text
from .summary import Run, summarize


def methods(run: Run) -> str:
    """The paragraph, the command, and a table of versions and hashes, as HTML."""
    rows = "".join(
        f'<tr><td>{name}</td><td class="fact"><code>{text(value)}</code></td></tr>'
        for name, value in _provenance(run).items()
    )
    return f"""<h2>How it was made</h2>
<p>{text(" ".join(paragraph(run)))}</p>
<p>To run it again:</p><pre>{text(run.definition.get("command", f"bridgelab sweep {run.study}"))}</pre>
<div class="scroll"><table>{rows}</table></div>"""


def paragraph(run: Run) -> Iterator[str]:
    """Its sentences."""
    base, study = run.definition.get("base", {}), run.definition["study"]
    n, n_base = int(run.members["replicate"].nunique()), int(summarize(run)["n_base"].max())
    n_arms = run.members["arm_index"].nunique()
    yield f"The study {run.study} has {n_arms} arms over {run.pair}, in the preset {run.preset}."
    if base:
        yield from _of_base_models(base)
        yield _of_bridges(run, base)
    yield (
        f"Each arm was trained in {n} replicates on {n_base} pairs of base models. The same replicate has the same "
        "base models, the same nested labels and the same random streams in every arm, so arms are compared in pairs."
    )
    crossed = variance.design(run)
    if crossed is not None:
        yield f"Its seeds are crossed ({crossed}): every pair of base models with every label draw and bridge seed."
    yield (
        "Whatever chooses reads the validation split; the test split was read once a trial, after its last step. "
        "Transfer accuracy is the share of test items whose source and transferred sample get the same class from "
        "the judges of their domains."
    )
    n = int(run.members["replicate"].nunique())
    yield (
        f"Arms are compared with '{run.reference}' on {study['primary_metric']}, by the {statistics.flips(n)} "
        "sign-flip test of the pairs with Holm's correction over the arms; all else in this report is exploratory. "
        "Intervals are Student's t over replicates, or the studentized bootstrap where replicates are skewed; against "
        "the paper they are over replicates and test items."
    )


def _of_base_models(base: dict[str, Any]) -> Iterator[str]:
    vae, judge = base.get("vae_a"), base.get("judge_a")
    if vae is not None:
        yield (
            f"The base models are VAEs of {vae['n_layers']} x {vae['hidden_dim']} units and {vae['latent_dim']} latent "
            f"dimensions, trained for {vae['n_steps']:,} steps of {vae['batch_size']} and kept at their best "
            "validation ELBO."
        )
    if judge is not None:
        yield (
            f"The judge of each domain is a classifier ({judge.get('kind', 'mlp')}) trained for {judge['n_steps']:,} "
            "steps and kept at its best validation accuracy."
        )


def _of_bridges(run: Run, base: dict[str, Any]) -> str:
    bridge = base["bridge"]
    return (
        f"A bridge has {bridge['n_layers']} x {bridge['hidden_dim']} units and a shared space of "
        f"{bridge['shared_dim']} dimensions, and by the recipe {run.recipe} is trained for "
        f"{bridge['n_steps']:,} steps of "
        f"{bridge['batch_size']} by Adam at {bridge['learning_rate']:g}, with weights {bridge['beta_kl']:g} of KL, "
        f"{bridge['beta_swd']:g} of SWD and {bridge['beta_cls']:g} of the classifier, unless its arm sets them "
        "otherwise."
    )


def _provenance(run: Run) -> dict[str, str]:
    done = run.members[run.members["state"] == "COMPLETE"].drop_duplicates("trial_id")
    if done.empty:
        return {}
    weights = pd.concat([done["base_a_sha256"], done["base_b_sha256"]]).dropna().astype(str).str[:12]
    finished = done["finished_at"]
    return {
        "versions": _distinct(done["versions"].dropna().map(_versions)),
        "devices": _distinct(done["device"]),
        "bridges drew from": f"{_distinct(done['n_train'].astype('Int64'))} training samples {paper.whose(run.pair)}",
        "trials finished": f"{finished.min():%Y-%m-%d} to {finished.max():%Y-%m-%d}",
        "base models (sha256 of weights)": _distinct(weights),
    }


def _versions(packages: str) -> str:
    return ", ".join(f"{package} {version}" for package, version in json.loads(packages).items())


def _distinct(values: pd.Series[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values.dropna()))
