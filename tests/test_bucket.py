"""A lab in a bucket of a real S3 server: nothing can be renamed there, and now and then nobody answers."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from buckets import BUCKET, KEYS, served
from outages import Proxy, proxy
from sweeps import ALWAYS, N_TRIALS, Sweep, assert_same, bridgelab, finish, finished, kill, one_line, start, wait_until

from bridgelab import lease, patience
from bridgelab.errors import AbsentError, LabError
from bridgelab.housekeeping import collect, garbage
from bridgelab.lab import Lab
from bridgelab.lease import Lease, LostLeaseError, Watch, read_beat
from bridgelab.results import Results, now
from bridgelab.session import _probe_task

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def port(swift: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with served(swift, tmp_path_factory.mktemp("swift")) as port:
        yield port


@pytest.fixture
def between(port: int) -> Iterator[Proxy]:
    """What stands between the tests and the server."""
    with proxy(port) as one:
        yield one


def at(port: int) -> dict[str, str]:
    return KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


@pytest.fixture
def uri(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the lab of a test is."""
    for name, value in at(port).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}/lab"


@pytest.fixture
def lab(uri: str) -> Lab:
    return Lab(uri)


@pytest.fixture
def distant(between: Proxy, lab: Lab) -> Lab:
    """The same lab behind the proxy; it has answered before."""
    behind = Lab(f"{lab.address}?endpoint_override=127.0.0.1:{between.port}&scheme=http")
    assert behind.names("") == []
    return behind


def test_what_is_published_is_read_back_listed_and_removed(lab: Lab) -> None:
    lab.check_writable()
    lab.publish("bridges/t.safetensors", b"12345")
    assert lab.publish_folder("models/m", {"config.json": b"{}", "model.safetensors": b"123"})
    assert (lab.names("bridges"), lab.names("models"), lab.names("")) == (
        ["t.safetensors"],
        ["m"],
        ["bridges", "models"],
    )
    assert (lab.read("models/m/config.json"), lab.size("models/m")) == (b"{}", 5)
    assert lab.exists("models/m")
    assert lab.age_s("models/m") < 60
    for path in ("models/m", "models/m", "bridges/t.safetensors", "bridges/t.safetensors"):
        lab.remove(path)
    assert not lab.exists("models/m")
    with pytest.raises(AbsentError, match="bridges/t.safetensors is not there"):
        lab.read("bridges/t.safetensors")


def test_a_file_of_many_requests_comes_back_whole(lab: Lab) -> None:
    data = bytes(range(256)) * 100_000
    lab.publish_sealed("training/m.checkpoint", data)
    assert lab.read_sealed("training/m.checkpoint") == data


def test_a_folder_published_twice_stays_the_first_one(lab: Lab) -> None:
    assert lab.publish_folder("models/m", {"weights": b"1"})
    assert not lab.publish_folder("models/m", {"weights": b"2"})
    assert lab.read("models/m/weights") == b"1"


def test_half_a_folder_is_not_there_and_may_go(lab: Lab) -> None:
    lab.publish("models/half/config.json", b"{}")  # as a writer leaves it that was killed
    assert not lab.exists("models/half")
    assert lab.names("models") == []
    found = garbage(lab, grace_s=0)
    assert [one.path for one in found] == ["models/half"]
    assert collect(lab, found) == 2
    assert lab.leftovers("models") == []


def test_what_begins_with_a_dot_and_is_not_ours_stays(lab: Lab) -> None:
    probe = f".probe-{'0123' * 8}"
    for path in (f"{probe}/written", ".git/HEAD", ".gitignore", "models/.gitkeep", "bridges/.keep"):
        lab.publish(path, b"1")
    assert [one.path for one in garbage(lab, grace_s=0)] == [probe]


def test_readers_beside_a_writer_never_see_half_a_file(lab: Lab) -> None:
    contents, seen, done = [bytes([i]) * 200_000 for i in range(10)], set[bytes](), threading.Event()
    lab.publish("packs/p/state", contents[0])

    def read_many() -> None:
        while not done.is_set():
            seen.add(lab.read("packs/p/state"))

    reader = threading.Thread(target=read_many)
    reader.start()
    for content in contents:
        lab.publish("packs/p/state", content)
    done.set()
    reader.join()
    assert len(seen) > 1
    assert seen <= set(contents)


def test_of_those_who_take_a_pack_in_one_moment_one_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.2)
    together, living = threading.Barrier(4), list[str]()

    def train(sweep: str) -> None:
        mine = Lab(lab.address)
        together.wait()
        taken = Lease.take(mine, "p", {"trials": ["t"]}, sweep)
        if taken is not None:
            with taken:
                time.sleep(3)
                try:
                    taken.check()
                    living.append(sweep)
                except LostLeaseError:
                    pass

    sweeps = [threading.Thread(target=train, args=(name,)) for name in "abcd"]
    for one in sweeps:
        one.start()
    for one in sweeps:
        one.join()
    held = read_beat(lab, "p")
    assert held is not None
    assert [f"{sweep}/" for sweep in living] == [held.owner[:2]]


def test_a_holder_whose_lab_does_not_answer_is_not_given_up(
    lab: Lab, distant: Lab, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE_S", 4.0)
    with Lease.take(distant, "p", {"trials": ["t"]}, "one") as holder:
        watch = Watch(distant)
        watch.look()
        between.set("refuses")
        threading.Timer(5.0, between.set, ("passes",)).start()
        assert watch.settle() == {"p": "live"}
        holder.check()
    assert read_beat(lab, "p").adopted == 0


def test_an_outage_costs_a_write_and_a_read_no_more_than_time(distant: Lab, between: Proxy) -> None:
    for path in ("bridges/a", "bridges/b"):
        between.set("refuses")
        threading.Timer(1.0, between.set, ("passes",)).start()
        distant.publish(path, b"12345")
    between.set("refuses")
    threading.Timer(1.0, between.set, ("passes",)).start()
    assert distant.read("bridges/a") == b"12345"
    assert between.n_refused > 2


def test_an_outage_while_results_are_read_is_no_damage(distant: Lab, between: Proxy) -> None:
    row = {"trial_id": "t", "excluded": True, "reason": "why", "declared_at": now()}
    Results(distant).write("exclusions", "p", [row])
    between.set("refuses")
    threading.Timer(1.0, between.set, ("passes",)).start()
    assert Results(distant).set_aside_damaged() == []
    assert Results(distant).read("exclusions").num_rows == 1


def test_patience_has_an_end_and_then_there_is_none_until_an_answer(
    distant: Lab, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LATER_S", 1.0)
    distant.names("")
    between.set("refuses")
    with pytest.raises(LabError, match=r"HTTP status 503.*; check AWS_ACCESS_KEY_ID"):
        distant.publish("bridges/t", b"1")
    began = time.monotonic()
    with pytest.raises(LabError):
        distant.publish("bridges/t", b"1")
    assert time.monotonic() - began < 0.9
    between.set("passes")
    distant.publish("bridges/t", b"1")


@pytest.mark.parametrize(
    ("location", "changed", "said"),
    [
        ("s3://none/lab", {}, "bucket does not exist"),
        (f"s3://{BUCKET}/lab", {"AWS_SECRET_ACCESS_KEY": "another"}, "ACCESS_DENIED"),
        (f"s3://{BUCKET}/lab", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect to server"),
        (f"s3://me:hidden@{BUCKET}/lab", {}, "no place for keys"),
        (f"s3://{BUCKET}/lab?secret_key=hidden", {}, "it asks for secret_key"),
        ("hdfs://host/lab", {}, "nothing is known of hdfs://"),
        ("gs://", {}, "it names no bucket"),
    ],
)
def test_a_lab_that_cannot_be_is_one_line_before_anything_starts(
    port: int, tmp_path: Path, location: str, changed: Mapping[str, str], said: str
) -> None:
    command = bridgelab(tmp_path, "sweep", "label_efficiency", "--lab", location, environment=at(port) | changed)
    line = one_line(command, timeout_s=60)
    assert said in line
    assert "hidden" not in line
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in line


def test_a_node_without_the_keys_says_so_before_anything_trains(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.publish(".probe/driver", b"1")
    assert _probe_task(lab.address, ".probe", "node") is None
    assert lab.read(".probe/node") == b"node"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert "ACCESS_DENIED" in (_probe_task(lab.address, ".probe", "node") or "")


OUTAGE_S = 24
DIGITS = ("label_efficiency", "--preset", "smoke", "--seeds", "1")


def n_parts(lab: Lab, table: str = "trials") -> int:
    time.sleep(0.1)
    return len(lab.names(f"results/{table}"))


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_and_every_command_finds_its_results(
    between: Proxy, uri: str, lab: Lab, tmp_path: Path
) -> None:
    def start_digits() -> Sweep:
        return start(tmp_path, "--lab", uri, study=DIGITS, environment=at(between.port))

    sweep = start_digits()
    wait_until(lambda: n_parts(lab) > 0, sweep)
    kill(sweep)
    reads = Counter(path for method, path in between.asked if method == "GET" and path.endswith("/model.safetensors"))
    # Once by whoever draws its latents, or is measured by it, and once for all packs of the one node that there is.
    assert sorted(reads.values()) == [1 + 1, 1 + 1, 2 + 1]
    done = finish(start_digits())
    assert (done["cached"] > 0, done["cached"] + done["run"]) == (True, 6)
    assert lab.exists("reports/label_efficiency.html")

    table = json.loads(finished(tmp_path, "table", "label_efficiency", "--format", "json", "--lab", uri))
    assert {row["n"] for row in table} == {1}
    state = json.loads(finished(tmp_path, "status", "label_efficiency", "--json", "--lab", uri))
    assert (state["counts"]["COMPLETE"], state["packs"]) == (6, [])
    finished(tmp_path, "report", "-o", "report.html", "--lab", uri)
    assert "label_efficiency" in (tmp_path / "report.html").read_text()
    removed = json.loads(finished(tmp_path, "gc", "--yes", "--older-than", "0", "--json", "--lab", uri))["garbage"]
    assert {one["path"].split("/")[0] for one in removed} <= {"packs"}, (
        "what was killed may have been removing its pack"
    )
    assert finished(tmp_path, "gc", "--older-than", "0", "--lab", uri) == "nothing to remove\n"
    merged = json.loads(finished(tmp_path, "compact", "--yes", "--json", "--lab", uri))["parts"]
    assert merged["trials"] > 1
    assert json.loads(finished(tmp_path, "table", "label_efficiency", "--format", "json", "--lab", uri)) == table


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_goes_on_through_an_outage_and_loses_nothing(
    between: Proxy, uri: str, lab: Lab, tmp_path: Path, undisturbed: Path
) -> None:
    sweep = start(tmp_path, *ALWAYS, "--lab", uri, environment=at(between.port))
    wait_until(lambda: n_parts(lab) > 0, sweep)
    for mode in ("refuses", "hangs"):
        between.set(mode)
        time.sleep(OUTAGE_S / 2)
    between.set("passes")
    done = finish(sweep)
    assert (done["run"], done["failed"]) == (N_TRIALS, {})
    assert between.n_refused > 2
    assert_same(lab, undisturbed)


@pytest.mark.ray
@pytest.mark.slow
def test_two_sweeps_on_one_bucket_share_the_work(
    port: int, uri: str, lab: Lab, tmp_path: Path, undisturbed: Path
) -> None:
    first, second = (start(tmp_path, "--lab", uri, environment=at(port)) for _ in range(2))
    done = [finish(first), finish(second)]
    assert sum(one["run"] for one in done) >= N_TRIALS
    assert_same(lab, undisturbed)
