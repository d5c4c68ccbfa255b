"""The files of cluster/ pass as `ray up` reads them, and a broken one gets the line that says what is wrong."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridgelab import cluster
from bridgelab.cluster import examine
from bridgelab.errors import ClusterError

FILES = Path(__file__).parents[1] / "cluster"
NAMES = sorted(path.name for path in FILES.glob("*.yaml"))
MINE = {
    "REGION": "eu-central-1",
    "ZONE": "eu-central1-a",
    "PROJECT_ID": "bridges",
    "KEY_NAME": "mine",
    "AMI_ID": "ami-1",
    "GPU_IMAGE": "projects/one",
    "IMAGE": "registry/bridgelab:1",
    "HEAD_HOST": "10.0.0.1",
    "WORKER_HOST_1": "10.0.0.2",
    "WORKER_HOST_2": "10.0.0.3",
    "SSH_USER": "me",
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with a token and keys, and the clouds' libraries."""
    for name in (".ray/auth_token", ".ssh/mine", ".ssh/mine.pem"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cluster, "_is_installed", lambda module: True)


def filled(name: str, tmp_path: Path, change: Callable[[Any], object] = lambda config: None) -> Path:
    """A file of cluster/ as somebody has made it theirs, and then changed it."""
    text = cluster.PLACEHOLDER.sub(lambda found: MINE[found[1]], (FILES / name).read_text())
    config = yaml.safe_load(text)
    change(config)
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def wrong(path: Path) -> list[str]:
    return [f"{check.name}: {check.detail}" for check in examine(path) if not check.ok]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_ours_passes_once_its_placeholders_are_filled(name: str, tmp_path: Path) -> None:
    assert wrong(filled(name, tmp_path)) == []


@pytest.mark.parametrize("name", NAMES)
def test_all_that_a_file_of_ours_lacks_is_what_only_its_user_knows(name: str) -> None:
    settings = [line.partition("#")[0] for line in (FILES / name).read_text().splitlines()]
    lacking = {check.name for check in examine(FILES / name) if not check.ok}
    assert lacking == {word for line in settings for word in cluster.PLACEHOLDER.findall(line)}


def test_a_file_says_in_words_what_it_would_start(tmp_path: Path) -> None:
    said = examine(filled("gpu.yaml", tmp_path))[0].detail
    assert said == (
        "in eu-central-1 of aws: a head m7i.xlarge (on demand), 0 to 8 of gpu_spot g6.2xlarge (spot; 8 CPU, 1 GPU)"
    )
    assert examine(filled("onprem.yaml", tmp_path))[0].detail == "a head on 10.0.0.1 and 2 workers (10.0.0.2, 10.0.0.3)"


def reword(key: str, old: str, new: str) -> Callable[[Any], object]:
    """A change of the commands below a key."""

    def change(config: Any) -> None:
        config[key] = [line.replace(old, new) for line in config[key]]

    return change


def drop(key: str) -> Callable[[Any], object]:
    return lambda config: config.pop(key)


PIN = "==2.60.*"
BROKEN: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "an unknown key": ("gpu.yaml", lambda c: c.update(wrokers=3), "'wrokers'"),
    "a head of no type": ("gpu.yaml", lambda c: c.update(head_node_type="x"), "`head_node_type` must be one of"),
    "no list of hosts": ("onprem.yaml", lambda c: c["provider"].pop("worker_ips"), "would start: nothing"),
    "an unpinned Ray": ("gpu.yaml", reword("setup_commands", PIN, ""), "ray: the head would install whatever"),
    "a nightly Ray": ("gpu.yaml", drop("setup_commands"), "ray: the head would install whatever"),
    "another Ray": ("gpu.yaml", reword("setup_commands", PIN, "==2.59.0"), "ray: 2.59.0 on all nodes, 2.60"),
    "two Rays": (
        "gpu.yaml",
        lambda c: c.update(worker_setup_commands=["pip install 'ray[tune]==2.59.0'"]),
        "ray: head and workers differ: 2.59.0, 2.60.*",
    ),
    "no token": ("gpu.yaml", drop("file_mounts"), "token: no token is copied"),
    "a token of elsewhere": (
        "gpu.yaml",
        lambda c: c["file_mounts"].update({"~/.ray/auth_token": "~/gone"}),
        "token: no file ~/gone",
    ),
    "no token asked for by the head": (
        "onprem.yaml",
        reword("head_start_ray_commands", "RAY_AUTH_MODE=token", ""),
        "token: the head would let in whoever",
    ),
    "no token asked for by a pod": ("kuberay.yaml", lambda c: c["spec"].pop("authOptions"), "token: the pods would"),
    "an open dashboard": (
        "gcp.yaml",
        reword("head_start_ray_commands", "--include-dashboard=false", "--dashboard-host=0.0.0.0"),
        "dashboard: it would be open",
    ),
    "Ray's own start": ("gpu.yaml", drop("head_start_ray_commands"), "dashboard: it would be open"),
    "an open dashboard in a pod": (
        "kuberay.yaml",
        lambda c: c["spec"]["headGroupSpec"]["rayStartParams"].pop("dashboard-host"),
        "dashboard: it would be open",
    ),
    "usage statistics": (
        "gpu.yaml",
        reword("worker_start_ray_commands", "RAY_USAGE_STATS_ENABLED=0", ""),
        "usage: the workers would send",
    ),
    "a key that is not there": (
        "onprem.yaml",
        lambda c: c["auth"].update(ssh_private_key="~/.ssh/other"),
        "ssh key: no file ~/.ssh/other",
    ),
    "resources that are not stated": (
        "gpu.yaml",
        lambda c: c["available_node_types"]["gpu_spot"].update(resources={}),
        "resources: gpu_spot does not state",
    ),
    "a head on spot": (
        "gcp.yaml",
        lambda c: c["available_node_types"]["head"]["node_config"].update(scheduling=[{"preemptible": True}]),
        "head: the head could be taken back",
    ),
    "the second autoscaler": (
        "onprem.yaml",
        reword("head_start_ray_commands", "RAY_enable_autoscaler_v2=0", ""),
        "autoscaler: Ray's second",
    ),
    "two images": (
        "kuberay.yaml",
        lambda c: c["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0].update(image="b"),
        "image: head and workers differ",
    ),
    "another Ray in pods": ("kuberay.yaml", lambda c: c["spec"].update(rayVersion="2.52.0"), "ray: 2.52.0 on all pods"),
    "a secret": (
        "gpu.yaml",
        lambda c: c["setup_commands"].append("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"),
        "secret: a password, key or token",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_gets_the_line_that_says_so(what: str, tmp_path: Path) -> None:
    name, change, line = BROKEN[what]
    found = wrong(filled(name, tmp_path, change))
    assert any(line in one for one in found), found


def test_a_token_that_others_can_read_is_told_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / ".ray/auth_token").chmod(0o644)
    found = [check for check in examine(filled("gpu.yaml", tmp_path)) if not check.ok]
    assert [(check.detail, check.cure) for check in found] == [
        ("others can read ~/.ray/auth_token", "chmod 600 ~/.ray/auth_token")
    ]


@pytest.mark.parametrize("text", ["[", "just words", "", "- a\n- list"])
def test_what_is_no_file_of_settings_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ClusterError, match="--cluster .*c.yaml: .*; give a file such as cluster/gpu.yaml"):
        examine(tmp_path / "c.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_stands_in_a_file_of_ours(name: str) -> None:
    assert not cluster.SECRET.search((FILES / name).read_text())


def test_the_slurm_script_is_a_script() -> None:
    assert subprocess.run(["bash", "-n", FILES / "slurm.sh"], check=False).returncode == 0
