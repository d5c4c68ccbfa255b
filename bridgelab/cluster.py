"""What a cluster's file would start, and what it lacks: a file of `ray up`, or a RayCluster of Kubernetes."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ClusterError
from .health import Check
from .session import TOKEN_FILE

PLACEHOLDER = re.compile(
    r"\b(REGION|ZONE|PROJECT_ID|KEY_NAME|AMI_ID|(?:GPU_)?IMAGE|SSH_USER|(?:HEAD|WORKER)_HOST(?:_\d+)?)\b"
)
SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|PRIVATE KEY-----|(?i:token|secret|password)\w*\s*[:=]\s*['\"]?[0-9A-Za-z+/]{24,}"
)
REQUIREMENT = re.compile(r"(?<![\w/.-])ray(?:\[[\w,]*\])?(==[\w.*]+|(?=['\"\s]|$)| @ \S+)")
"""Ray as pip is asked for it: with a version, with none, or as a file somewhere."""
SDK = {"aws": "boto3", "gcp": "googleapiclient"}
SDK_PACKAGE = {"boto3": "boto3", "googleapiclient": "google-api-python-client"}


@dataclass(frozen=True)
class Roles:
    """The lines of shell that a file gives to its head and to its workers."""

    head: tuple[str, ...]
    workers: tuple[str, ...]

    @property
    def each(self) -> Iterator[tuple[str, str]]:
        """(role, its lines as one text)."""
        yield "head", "\n".join(self.head)
        yield "workers", "\n".join(self.workers)


def examine(file: str | Path) -> list[Check]:
    """What a cluster's file would start and what it lacks, one check a finding; starts nothing.

    Raises ClusterError for a file that cannot be read or is no YAML.
    """
    import yaml

    try:
        text = Path(file).read_text()
        config = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise ClusterError(f"--cluster {file}: {said}; give a file such as cluster/gpu.yaml") from None
    if not isinstance(config, dict):
        raise ClusterError(f"--cluster {file}: it holds no settings; give a file such as cluster/gpu.yaml")
    told = [*_placeholders(config), *_secrets(text)]
    if config.get("kind") == "RayCluster":
        return [_guarded(lambda: _pods(config)), *told, *_kuberay(config)]
    prepared, first = _prepare(config)
    if prepared is None:
        return [first, *told]
    return [first, *told, *_ray_up(prepared)]


def _prepare(config: dict[str, Any]) -> tuple[dict[str, Any] | None, Check]:
    """The settings with Ray's defaults in them, as `ray up` would see them; None where it would refuse them."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)
    prepared: dict[str, Any] = {}
    said = io.StringIO()

    def look() -> str:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            prepared.update(prepare_config(config))
            validate_config(prepared)
        return _nodes(prepared)

    check = _guarded(look)
    return (prepared if check.ok else None), check


def _guarded(look: Any) -> Check:
    try:
        return Check("would start", True, look())
    except Exception as error:  # Ray raises anything for a file that it does not take
        what = getattr(error, "message", None) or str(error) or type(error).__name__
        return Check("would start", False, f"nothing: {' '.join(what.split())}", "mend this line of the file")


def _nodes(config: Mapping[str, Any]) -> str:
    """What `ray up` would start, in words."""
    provider = config["provider"]
    if provider["type"] == "local":
        workers = provider["worker_ips"]
        return (
            f"a head on {provider['head_ip']} and {_counted(len(workers), 'worker')} ({', '.join(map(str, workers))})"
        )
    kinds, head = config["available_node_types"], config["head_node_type"]
    said = [f"a head {_kind(kinds[head])}"]
    for name, kind in kinds.items():
        if name != head:
            least, most = kind["min_workers"], min(kind["max_workers"], config["max_workers"])
            said.append(f"{least} to {most} of {name} {_kind(kind)}")
    return f"in {provider.get('region', 'no region')} of {provider['type']}: " + ", ".join(said)


def _kind(kind: Mapping[str, Any]) -> str:
    node = kind["node_config"]
    machine = node.get("InstanceType") or node.get("machineType") or "machine"
    has = ", ".join(f"{n} {name}" for name, n in (kind.get("resources") or {}).items() if n)
    return f"{machine} ({'spot' if _is_spot(kind) else 'on demand'}{'; ' + has if has else ''})"


def _is_spot(kind: Mapping[str, Any]) -> bool:
    node = kind["node_config"]
    market, scheduling = node.get("InstanceMarketOptions") or {}, node.get("scheduling") or {}
    settings = scheduling if isinstance(scheduling, list) else [scheduling]
    taken_back = any(one.get("preemptible") or one.get("provisioningModel") == "SPOT" for one in settings)
    return market.get("MarketType") == "spot" or taken_back


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _values(config: Any) -> Iterator[str]:
    """Every text of the settings."""
    if isinstance(config, Mapping):
        for value in config.values():
            yield from _values(value)
    elif isinstance(config, Sequence) and not isinstance(config, str):
        for value in config:
            yield from _values(value)
    elif isinstance(config, str):
        yield config


def _placeholders(config: Any) -> Iterator[Check]:
    """One check for each word that stands for something of the user's."""
    found = dict.fromkeys(word for text in _values(config) for word in PLACEHOLDER.findall(text))
    for word in found:
        yield Check(word, False, f"{word} stands for something of yours", "write that in its place: cluster/README.md")


def _secrets(text: str) -> Iterator[Check]:
    if SECRET.search(text):
        cure = "take it out, and make it anew: a file is copied to every node"
        yield Check("secret", False, "a password, key or token stands in the file", cure)


def _ray_up(config: Mapping[str, Any]) -> Iterator[Check]:
    setup = Roles(*(tuple(config[f"{role}_setup_commands"]) for role in ("head", "worker")))
    begin = Roles(*(tuple(config[f"{role}_start_ray_commands"]) for role in ("head", "worker")))
    yield from _versions(setup)
    yield from _token(config, begin)
    yield from _manners(begin)
    yield from _ssh(config)
    yield from _kinds(config)
    kind = config["provider"]["type"]
    if kind == "local" and "RAY_enable_autoscaler_v2=0" not in "\n".join(begin.head):
        cure = "put `export RAY_enable_autoscaler_v2=0;` before `ray start` of the head"
        yield Check("autoscaler", False, "Ray's second autoscaler loses a host of such a list", cure)
    if kind in SDK and not _is_installed(SDK[kind]):
        yield Check("sdk", False, f"`ray up` needs {SDK[kind]} here", f"pip install {SDK_PACKAGE[SDK[kind]]}")


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _versions(setup: Roles) -> Iterator[Check]:
    """Whether head and workers install one version of Ray, and the one that is here."""
    import ray

    asked = {role: [m[1] for m in REQUIREMENT.finditer(text)] for role, text in setup.each}
    for role, versions in asked.items():
        if not versions or not all(version.startswith("==") for version in versions):
            cure = f"have its setup_commands install 'ray[train,tune]=={ray.__version__}'"
            yield Check("ray", False, f"the {role} would install whatever Ray is the newest", cure)
            return
    found = {version.removeprefix("==") for versions in asked.values() for version in versions}
    if len(found) > 1:
        yield Check("ray", False, f"head and workers differ: {', '.join(sorted(found))}", "write one version for all")
        return
    version = found.pop()
    same = ray.__version__.startswith(version.rstrip("*")) if version.endswith("*") else ray.__version__ == version
    yield Check("ray", same, f"{version} on all nodes, {ray.__version__} here", "write one version everywhere")


def _token(config: Mapping[str, Any], begin: Roles) -> Iterator[Check]:
    """Whether nobody can use the cluster who lacks the token, and whether that is there and private."""
    for role, text in begin.each:
        if "RAY_AUTH_MODE=token" not in text:
            cure = "put `export RAY_AUTH_MODE=token;` before `ray start`"
            yield Check("token", False, f"the {role} would let in whoever reaches the ports", cure)
    sources = {remote: local for remote, local in config["file_mounts"].items() if str(remote).endswith("auth_token")}
    if not sources:
        cure = f"add `{TOKEN_FILE}: {TOKEN_FILE}` to file_mounts"
        yield Check("token", False, "no token is copied to the nodes", cure)
    for local in sources.values():
        path = Path(local).expanduser()
        if not path.exists():
            yield Check("token", False, f"no file {local}", "umask 077; ray get-auth-token --generate > /dev/null")
        elif stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Check("token", False, f"others can read {local}", f"chmod 600 {local}")
        else:
            yield Check("token", True, f"{local}, for nobody else to read")


def _manners(begin: Roles) -> Iterator[Check]:
    """The dashboard and the usage statistics."""
    if re.search(r"--dashboard-host[= ](?!127\.|localhost)\S", "\n".join(begin.head)):
        cure = "start the head with --include-dashboard=false, or with --dashboard-host=127.0.0.1"
        yield Check("dashboard", False, "it would be open to every network of the head", cure)
    for role, text in begin.each:
        if "RAY_USAGE_STATS_ENABLED=0" not in text:
            cure = "put `export RAY_USAGE_STATS_ENABLED=0;` before `ray start`"
            yield Check("usage", False, f"the {role} would send usage statistics to Ray's makers", cure)


def _ssh(config: Mapping[str, Any]) -> Iterator[Check]:
    key = config["auth"].get("ssh_private_key")
    if key is None:
        yield Check("ssh key", True, "none is named: `ray up` makes one, or ssh takes yours")
    elif not PLACEHOLDER.search(key):
        there = Path(key).expanduser().is_file()
        cure = "name the private half of your key pair as auth.ssh_private_key"
        yield Check("ssh key", there, key if there else f"no file {key}", cure)


def _kinds(config: Mapping[str, Any]) -> Iterator[Check]:
    """Whether each node type says what it has, so that one can be asked for before any is there."""
    if config["provider"]["type"] == "local":
        return
    head = config["head_node_type"]
    for name, kind in config["available_node_types"].items():
        if "CPU" not in (kind.get("resources") or {}):
            cure = "say what one has, as in `resources: {CPU: 8, GPU: 1}`"
            yield Check("resources", False, f"{name} does not state its resources", cure)
        if name == head and _is_spot(kind):
            cure = "take it out of the spot market: the lab and the sweep are on it"
            yield Check("head", False, "the head could be taken back at any moment", cure)


def _pods(config: Mapping[str, Any]) -> str:
    spec = config["spec"]
    groups = spec["workerGroupSpecs"]
    said = [f"{g['minReplicas']} to {g['maxReplicas']} pods of {g['groupName']}" for g in groups]
    return f"in Kubernetes: a head and {', '.join(said)}, of {_containers(spec)[0]['image']}"


def _containers(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The containers that run Ray: the head's, then the workers'."""
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"]["spec"]["containers"][0] for group in groups]


def _kuberay(config: Mapping[str, Any]) -> Iterator[Check]:
    import ray

    spec = config.get("spec") or {}
    version = str(spec.get("rayVersion", ""))
    same = version.split(".")[:2] == ray.__version__.split(".")[:2]
    yield Check("ray", same, f"{version or 'no version'} on all pods, {ray.__version__} here", "set spec.rayVersion")
    if (spec.get("authOptions") or {}).get("mode") != "token":
        cure = "set spec.authOptions to {mode: token}"
        yield Check("token", False, "the pods would let in whoever reaches the ports", cure)
    with contextlib.suppress(KeyError, TypeError, IndexError):  # `would start` has told of it
        if spec["headGroupSpec"]["rayStartParams"].get("dashboard-host", "0.0.0.0") != "127.0.0.1":
            cure = "set dashboard-host to 127.0.0.1 in the head's rayStartParams"
            yield Check("dashboard", False, "it would be open to every network of the head", cure)
        images = {container["image"] for container in _containers(spec)}
        if len(images) > 1:
            yield Check("image", False, f"head and workers differ: {', '.join(sorted(images))}", "give all one image")
        for container in _containers(spec):
            if "cpu" not in (container.get("resources") or {}).get("limits", {}):
                cure = "give it resources.limits with cpu and memory"
                yield Check("resources", False, "a pod does not state its resources", cure)
