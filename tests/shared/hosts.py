"""Hosts that are network namespaces of this machine: each has its address, processes, /tmp and sshd. Needs root."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ("ip", "unshare", "sshd", "ssh", "ssh-keygen", "rsync")
BRIDGE, NETWORK = "brlab", "10.77.0"
GATEWAY = f"{NETWORK}.1"
"""This machine, as the hosts see it."""
SSH = ("ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")


def lacking() -> list[str]:
    """What this machine lacks for hosts: root, or a program."""
    found = [] if os.geteuid() == 0 else ["root"]
    return found + [tool for tool in TOOLS if shutil.which(tool) is None]


def command(*words: str) -> str:
    """What a command prints that ends well."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@dataclass(frozen=True)
class Host:
    """A namespace, and the first process in it."""

    name: str
    number: int
    folder: Path
    "what all hosts share"
    pid: int

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"

    def ssh(self, line: str) -> list[str]:
        """The command that runs a shell line there."""
        return [*SSH, "-i", str(self.folder / "key"), f"root@{self.address}", line]

    def run(self, line: str, timeout_s: float = 120) -> str:
        """What a shell line prints there that ends well."""
        done = subprocess.run(self.ssh(line), capture_output=True, text=True, timeout=timeout_s, check=False)
        assert done.returncode == 0, (self.name, line, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def processes(self) -> dict[int, list[str]]:
        """Its processes but for the first, as this machine numbers them: pid -> the words of its command line."""
        found, space = {}, os.readlink(f"/proc/{self.pid}/ns/pid")
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "ns/pid") == space:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue  # it ended while we looked
        found.pop(self.pid, None)
        return dict(sorted(found.items()))

    def named(self, *names: str) -> list[int]:
        """Those whose program or title begins so: raylet, gcs_server, ray::Implicit for workers that train."""
        return [pid for pid, words in self.processes().items() if words[0].rpartition("/")[2].startswith(names)]

    def saying(self, text: str) -> list[int]:
        """Those in whose command line a text stands."""
        return [pid for pid, words in self.processes().items() if any(text in word for word in words)]

    def cut_off(self) -> None:
        command("ip", "link", "set", f"v{self.name}", "down")

    def reconnect(self) -> None:
        command("ip", "link", "set", f"v{self.name}", "up")


@contextmanager
def hosts(folder: Path, names: Iterable[str]) -> Iterator[list[Host]]:
    """Hosts on a bridge of their own, which can write to a shared folder; nothing of them is left afterwards."""
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key"))
    with ExitStack() as stack:
        command("ip", "link", "add", BRIDGE, "type", "bridge")
        stack.callback(command, "ip", "link", "del", BRIDGE)
        command("ip", "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        command("ip", "link", "set", BRIDGE, "up")
        made = [stack.enter_context(_host(name, number, folder)) for number, name in enumerate(names, 10)]
        for host in made:
            _wait_for_sshd(host)
        yield made


@contextmanager
def _host(name: str, number: int, folder: Path) -> Iterator[Host]:
    outer, inner = f"v{name}", "eth0"
    command("ip", "netns", "add", name)
    with ExitStack() as stack:
        stack.callback(command, "ip", "netns", "del", name)
        command("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        command("ip", "link", "set", outer, "master", BRIDGE, "up")
        command("ip", "-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", inner)
        command("ip", "-n", name, "link", "set", inner, "up")
        # Ray asks the routes which address is its own. This one leads nowhere but to the bridge.
        command("ip", "-n", name, "route", "add", "default", "dev", inner)
        spaces = ("unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--mount-proc", "--kill-child")
        script = ("bash", str(Path(__file__).with_name("host.sh")), name, str(folder), str(ROOT))
        inside = ("ip", "netns", "exec", name, *spaces, *script, sys.prefix, sys.base_prefix)
        with (folder / f"{name}.log").open("w") as log:
            outside = subprocess.Popen(inside, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        first = _child(outside)
        stack.callback(_end, outside, first)
        yield Host(name, number, folder, first)


def _child(outside: subprocess.Popen[bytes]) -> int:
    """The first process of the host, which unshare forks: what ends it ends all the others."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError("unshare made no host")


def _end(outside: subprocess.Popen[bytes], first: int) -> None:
    os.kill(first, signal.SIGKILL)
    outside.wait(timeout=30)


def _wait_for_sshd(host: Host) -> None:
    deadline = time.monotonic() + 15
    while subprocess.run(host.ssh("true"), capture_output=True, timeout=15, check=False).returncode != 0:
        assert time.monotonic() < deadline, (host.folder / f"{host.name}.log").read_text()
        time.sleep(0.1)


if __name__ == "__main__":
    if lacks := lacking():
        cure = "run as root after `apt-get install iproute2 util-linux openssh-server openssh-client rsync`"
        sys.exit(f"no hosts can be made here, for want of {', '.join(lacks)}; {cure}")
