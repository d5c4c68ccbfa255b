"""A real S3 server on loopback for tests: OpenStack Swift, in a Python environment and a process of its own."""

import os
import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyarrow import fs as pafs

SERVER = Path(__file__).with_name("swift_server.py")
SWIFT = "swift==2.38.*"
KEYS = {"AWS_ACCESS_KEY_ID": "bridgelab:tests", "AWS_SECRET_ACCESS_KEY": "of-the-tests", "AWS_REGION": "us-east-1"}
BUCKET = "labs"


def python_with_swift(folder: Path) -> Path:
    """A Python that has Swift. Where it cannot be installed the tests fail: skipped, they would show nothing."""
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    install = [str(python), "-m", "pip", "install", "--quiet", SWIFT]
    done = subprocess.run(install, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"no S3 server to test against; pytest -m 'not s3' does without: {done.stderr}"
    return python


@contextmanager
def served(python: Path, folder: Path) -> Iterator[int]:
    """The port of a server with an empty BUCKET, while the block runs."""
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [str(python), "-W", "ignore", str(SERVER), str(folder)],
            env=os.environ | KEYS,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        assert line, (folder / "log").read_text()
        connected(int(line), allow_bucket_creation=True).create_dir(BUCKET)
        yield int(line)
    finally:
        server.kill()
        server.communicate()


def connected(port: int, **options: bool) -> pafs.S3FileSystem:
    """The server as pyarrow sees it, with the keys of the tests."""
    keys = {"access_key": KEYS["AWS_ACCESS_KEY_ID"], "secret_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
    where = {"endpoint_override": f"127.0.0.1:{port}", "scheme": "http", "region": KEYS["AWS_REGION"]}
    return pafs.S3FileSystem(**keys, **where, **options)
