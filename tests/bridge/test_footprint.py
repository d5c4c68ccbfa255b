"""A pack takes about as much memory as was said before it began."""

import json
import subprocess
import sys

import pytest

from bridgelab import trial as trial_module
from bridgelab.specs import Entry
from bridgelab.trial import Runtime, run_pack

MEASURED = """
import dataclasses, json, sys, tempfile
import numpy as np, safetensors.torch, torch
from bridgelab.bridge.footprint import bytes_of
from bridgelab.bridge.pack import Member, Pack
from bridgelab.keys import with_keys
from bridgelab.lab import Lab
from bridgelab.latents import Latents
from bridgelab.memory import keep_freed
from bridgelab.study import Selection, resolve

values, k = json.loads(sys.argv[1]), int(sys.argv[2])
keep_freed()
torch.set_num_threads(1)
trial = resolve("component_ablation", Selection(pair="plane-plane", preset="smoke")).members[0].trial
mu = np.random.default_rng(0).standard_normal((2000, 64), dtype=np.float32)
latents = Latents(mu, np.full_like(mu, 0.1), np.arange(2000) % 10)


def peak(values, k):
    spec = dataclasses.replace(trial, settings=with_keys(trial.settings, values))
    members = [Member(spec, latents, latents, 10) for _ in range(k)]
    pack = Pack(members)
    pack.run(until=32)
    Lab(tempfile.mkdtemp()).publish_sealed("pack/x", safetensors.torch.save(pack.snapshot()))
    lines = open("/proc/self/status").read().splitlines()
    return bytes_of(members), 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


before = peak({"bridge.hidden_dim": 8, "bridge.n_layers": 1}, 1)[1]
said, after = peak(values, k)
print(json.dumps([said, after - before]))
"""
PACKS = [
    (16, {"bridge.hidden_dim": 192, "bridge.n_layers": 3, "bridge.batch_size": 128}),
    (3, {"bridge.hidden_dim": 1024, "bridge.n_layers": 4, "bridge.precision": "bfloat16"}),
]


@pytest.mark.parametrize(("k", "values"), PACKS)
def test_the_peak_is_within_a_third_of_what_was_said(k: int, values) -> None:
    words = [sys.executable, "-c", MEASURED, json.dumps(values), str(k)]
    said, taken = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert taken / 1.33 < said < taken * 1.33


def test_a_pack_that_does_not_fit_is_halved_until_it_does(make_trial, around, monkeypatch) -> None:
    entries = [Entry(make_trial(i, **{"bridge.n_steps": 33}), attempt=0, trained=False) for i in range(5)]
    sizes = []
    honest = trial_module.Pack
    monkeypatch.setattr(
        trial_module, "Pack", lambda members, device: sizes.append(len(members)) or honest(members, device)
    )
    monkeypatch.setattr(trial_module, "bytes_of", lambda members, device: len(members))
    monkeypatch.setattr(trial_module, "free_bytes", lambda device: 2)
    rows = run_pack(Runtime("p"), entries, around).rows
    assert rows["trials"]["state"].to_pylist() == ["COMPLETE"] * 5
    assert sizes == [2, 1, 2]


def test_a_trial_that_does_not_fit_at_all_says_how_much_it_takes(make_trial, around, monkeypatch) -> None:
    monkeypatch.setattr(trial_module, "free_bytes", lambda device: 1)
    rows = run_pack(Runtime("p"), [Entry(make_trial(0), attempt=0, trained=False)], around).rows
    assert rows["trials"]["failure_class"].to_pylist() == ["oom"]
    assert "GiB are free" in rows["trials"]["failure_text"][0].as_py()
