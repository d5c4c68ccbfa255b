"""OpenStack Swift with its S3 API, all of it in one process on loopback: python swift_server.py FOLDER

Run by a Python that has Swift, which is not that of the tests. The one user's keys are AWS_ACCESS_KEY_ID, as
ACCOUNT:USER, and AWS_SECRET_ACCESS_KEY. Prints the port when it listens there.
"""

import os
import sys
from pathlib import Path

import eventlet

eventlet.monkey_patch()

from eventlet import wsgi  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

HOST = "127.0.0.1"
STORE = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/disks
mount_check = false
disable_fallocate = true
[app:main]
use = egg:swift#{kind}
"""
PROXY = """
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_{user} = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""


def load(path: Path, settings: str):
    path.write_text(settings)
    return loadapp(str(path), global_conf={})


def serve(folder: Path, user: str, secret: str) -> None:
    (folder / "disks/disk").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    utils.validate_hash_conf()
    for kind in ("account", "container", "object"):
        listening = eventlet.listen((HOST, 0))
        place = {"region": 1, "zone": 1, "weight": 1.0, "device": "disk", "ip": HOST}
        ring = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
        ring.add_dev(place | {"port": listening.getsockname()[1]})
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{kind}.ring.gz"))
        app = load(folder / f"{kind}.conf", STORE.format(folder=folder, kind=kind))
        eventlet.spawn(wsgi.server, listening, app, log_output=False)
    proxy = load(folder / "proxy.conf", PROXY.format(folder=folder, user=user.replace(":", "_"), secret=secret))
    listening = eventlet.listen((HOST, 0))
    print(listening.getsockname()[1], flush=True)
    wsgi.server(listening, proxy, log_output=False)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
