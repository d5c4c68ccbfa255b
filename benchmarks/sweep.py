"""The wall time of a whole study, against the same trials in plain Ray Tune.

    python benchmarks/sweep.py --json

The study is label_efficiency on the digits, base models at hand: 6 label counts x 8 replicates. Ours is
`bridgelab sweep` from a cold start to the table and the report. The plain way is what Ray's documentation
shows: a Tuner over a grid of the same 48 configurations, a function that trains one nn.Module (latents in
memory, fused Adam, one thread) and reports its transfer accuracies, one core a trial; once as documented and
once with `reuse_actors=True`. It evaluates means on the test split only, and writes no predictions, curves,
panels or report: less than ours does. Each way is a process of its own, in turn; a ratio is of neighbours.

Overhead is measured on studies of tiny trials (plane, smoke), one of 2 and one of 200: by how much longer the
larger one takes beyond its trials' training (evaluation, rows, panels, table and report), over the trials that it
has more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from throughput import machine

STUDY = "label_efficiency"
TINY = """
from bridgelab import Study

def study() -> Study:
    values = [round(0.01 * (i + 1), 4) for i in range({n_arms})]
    return Study(name="tiny", question="?", pair="plane-plane", grid={{"bridge.beta_swd": values}})
"""
BRIDGE = '''
def bridge(spec, lab):
    """Trains one nn.Module as one would write it. Yields after each step, with what scores it on a split."""
    import torch

    from bridgelab import latents
    from bridgelab.base_models import checkpoint
    from bridgelab.bridge.losses import UNLABELLED
    from bridgelab.bridge.model import Batch, BridgingVAE
    from bridgelab.bridge.pool import pool
    from bridgelab.domains import get_domain

    torch.set_num_threads(1)
    domain, c = get_domain("digits"), spec.settings.bridge
    generator = torch.Generator().manual_seed(spec.bridge_seed)
    torch.manual_seed(spec.bridge_seed)
    sides = []
    for base in (spec.base_a, spec.base_b):
        found = latents.read(lab, base.latents_id)
        part = found["train"]
        sides.append((base, found, torch.from_numpy(part.mu.copy()), torch.from_numpy(part.sigma.copy()),
                      torch.from_numpy(part.labels.copy())))
    labelled = [torch.from_numpy(pool(spec, side, found["train"].labels_of_items).labelled)
                for side, (_, found, *_) in zip("ab", sides)]
    judge = checkpoint.load_judge(lab, spec.judge_a, domain, "a")
    models = [checkpoint.load_base_model(lab, base, domain) for base, *_ in sides]
    module = BridgingVAE(sides[0][2].shape[1], 10, c)
    optimizer = torch.optim.Adam(module.parameters(), lr=c.learning_rate, fused=True)

    def rate(step):
        done = step / c.n_steps
        return c.learning_rate * (1 if done < c.lr_decay_from else (1 - done) / (1 - c.lr_decay_from))

    def drawn(place, index):
        _, _, mu, sigma, labels = sides[place]
        z = mu[index] + sigma[index] * torch.randn(len(index), mu.shape[1], generator=generator)
        return z, torch.randn(len(index), c.shared_dim, generator=generator), labels[index]

    def batch(place):
        z, noise, labels = drawn(place, torch.randint(len(sides[place][2]), (c.batch_size,), generator=generator))
        if len(labelled[place]) == 0:
            return Batch(z, noise, None, torch.full_like(labels, UNLABELLED))
        at = labelled[place][torch.randint(len(labelled[place]), (c.labelled_batch_size,), generator=generator)]
        z_L, noise_L, labels_L = drawn(place, at)
        return Batch(z, noise, (z_L, noise_L), labels_L)

    @torch.inference_mode()
    def score(split):
        result = {}
        for source, target, name in ((0, 1, "ab"), (1, 0, "ba")):
            z = torch.from_numpy(sides[source][1][split].mu.copy())
            sent = module.decode(module.encode(z, "ab"[source])[0], "ab"[target])
            classes = [judge.classify(models[place].decode(x)) for place, x in ((source, z), (target, sent))]
            result[f"transfer_accuracy_{name}"] = float((classes[0] == classes[1]).float().mean())
        return result

    for step in range(c.n_steps):
        directions = torch.randn(c.n_projections, c.shared_dim, generator=generator)
        loss = module.loss(batch(0), batch(1), directions / directions.norm(dim=-1, keepdim=True))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.param_groups[0]["lr"] = rate(step)
        optimizer.step()
        yield step + 1, score
'''
PLAIN = (
    '''
"""48 trials in plain Ray Tune: LAB SPECS REUSE"""
import json, logging, os, sys

import ray
from ray import tune
'''
    + BRIDGE
    + """
def train(config):
    from bridgelab.lab import Lab
    from bridgelab.specs import trial_of

    for _, score in bridge(trial_of(json.loads(config["spec"])), Lab(config["lab"])):
        pass
    tune.report(score("test"))


lab, specs, reuse = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3] == "reuse"
ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, num_cpus=os.cpu_count())
space = {"lab": lab, "spec": tune.grid_search([json.dumps(spec) for spec in specs])}
tuner = tune.Tuner(tune.with_resources(train, {"cpu": 1}), param_space=space,
                   tune_config=tune.TuneConfig(reuse_actors=reuse),
                   run_config=tune.RunConfig(storage_path=os.getcwd() + "/tune", verbose=0))
found = tuner.fit().get_dataframe()
print(json.dumps({"n": len(found), "ab": found["transfer_accuracy_ab"].mean()}))
"""
)


def run(folder: Path, *command: str) -> tuple[float, str]:
    """Seconds of a command in a process of its own, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return time.perf_counter() - started, done.stdout


def bridgelab(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-c", "from bridgelab.cli import main; main()", *words)


def at_hand(folder: Path, n_replicates: int) -> None:
    """A lab with base models and latents, and no trial; and the configurations of the study."""
    from bridgelab.config import canonical
    from bridgelab.study import Selection, resolve

    resolved = resolve(STUDY, Selection(n_replicates=n_replicates))
    run(folder, *bridgelab("pretrain", "digits", "--seeds", str(2 * n_replicates), "--lab", "bases"))
    (folder / "specs.json").write_text(json.dumps([canonical(m.trial) for m in resolved.members]))


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder / "lab", ignore_errors=True)
    return Path(shutil.copytree(folder / "bases", folder / "lab"))


def ours(folder: Path, n_replicates: int) -> float:
    fresh(folder)
    seconds, out = run(folder, *bridgelab("sweep", STUDY, "--seeds", str(n_replicates), "--lab", "lab", "--json"))
    told = json.loads(out)
    assert told["run"] == told["trials"], told
    return seconds


def plain(folder: Path, n_trials: int, reuse: bool) -> float:
    shutil.rmtree(folder / "tune", ignore_errors=True)
    words = (sys.executable, "-c", PLAIN, str(folder / "bases"), "specs.json", "reuse" if reuse else "documented")
    seconds, out = run(folder, *words)
    told = json.loads(out.splitlines()[-1])
    assert told["n"] == n_trials, told
    return seconds


def tiny(folder: Path, n_arms: int) -> tuple[int, float, float, float]:
    """Of a study of tiny trials: their number, seconds of its sweep, and of training and evaluation on each core."""
    from bridgelab.lab import Lab
    from bridgelab.results import Results

    (folder / "tiny.py").write_text(TINY.format(n_arms=n_arms))
    shutil.rmtree(folder / "tiny", ignore_errors=True)
    options = ("--preset", "smoke", "--seeds", "2", "--lab", "tiny", "--json")
    seconds, out = run(folder, *bridgelab("sweep", "./tiny.py", *options))
    trials = Results(Lab(folder / "tiny")).read("trials").to_pylist()
    train_s, evaluate_s = (sum(t[name] for t in trials) / (os.cpu_count() or 1) for name in ("train_s", "evaluate_s"))
    return json.loads(out)["run"], seconds, train_s, evaluate_s


def overhead(folder: Path, n_arms: int) -> dict[str, float]:
    """What each trial of a study adds to the time of its sweep, beyond its own: from a study of one arm to all."""
    few, many = (tiny(folder, n) for n in (1, n_arms))
    trials, seconds, train_s, evaluate_s = (there - here for here, there in zip(few, many, strict=True))
    return {
        "trials": many[0],
        "seconds": many[1],
        "seconds_of_two": few[1],
        "per_trial_ms": 1e3 * (seconds - train_s) / trials,
        "per_trial_beyond_evaluation_ms": 1e3 * (seconds - train_s - evaluate_s) / trials,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--rounds", type=int, default=3, help="of each way, in turn")
    parser.add_argument("--seeds", type=int, default=8, help="replicates")
    parser.add_argument("--tiny", type=int, default=100, help="arms of the study of tiny trials, 2 replicates each")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        at_hand(folder, chosen.seeds)
        n_trials = len(json.loads((folder / "specs.json").read_text()))
        times: dict[str, list[float]] = {"ours": [], "documented": [], "reuse_actors": []}
        for _ in range(chosen.rounds):
            times["ours"].append(ours(folder, chosen.seeds))
            times["documented"].append(plain(folder, n_trials, reuse=False))
            times["reuse_actors"].append(plain(folder, n_trials, reuse=True))
        beyond = overhead(folder, chosen.tiny)
    rows: list[dict[str, Any]] = []
    for baseline in ("documented", "reuse_actors"):
        ratios = sorted(theirs / own for theirs, own in zip(times[baseline], times["ours"], strict=True))
        median_s = statistics.median(times[baseline])
        about = {"baseline": baseline, "ratio": statistics.median(ratios), "seconds": median_s}
        rows.append({**about, "ratio_low": ratios[0], "ratio_high": ratios[-1]})
    notes = {"trials": n_trials, "our_seconds": statistics.median(times["ours"]), "overhead": beyond}
    if chosen.json:
        print(json.dumps({"benchmark": "sweep", "machine": machine("cpu"), "rows": rows, "notes": notes}, indent=2))
        return
    print(f"ours {notes['our_seconds']:.1f} s for {n_trials} trials")
    for row in rows:
        print("{baseline:<13} {seconds:6.1f} s  {ratio:5.2f} [{ratio_low:.2f}, {ratio_high:.2f}]".format(**row))
    print(
        "overhead {per_trial_ms:.0f} ms a trial beyond its training, {per_trial_beyond_evaluation_ms:.0f} ms beyond "
        "its evaluation too; {trials} tiny trials in {seconds:.1f} s".format(**beyond)
    )


if __name__ == "__main__":
    main()
