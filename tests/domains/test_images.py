"""MNIST and Fashion-MNIST from a folder: plain or gzipped, small sets, and every way in which files can be wrong."""

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgelab.domains import SPLITS, get_pair, images
from bridgelab.domains.idx import read_idx
from bridgelab.errors import DataError
from bridgelab.study import Selection, resolve

FILES = {what: name for what, (name, _) in images.FILES.items()}


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """put("mnist", gzipped=True): a data folder with a small set of random images, a label in ten each class."""

    def put(name: str = "mnist", *, n: int = 400, gzipped: bool = False, below: str = "") -> Path:
        rng, folder = np.random.default_rng(0), tmp_path / name / below
        folder.mkdir(parents=True)
        for split, size in (("train", n), ("test", n // 4)):
            arrays = {"images": rng.integers(0, 256, (size, 28, 28)), "labels": np.arange(size) % 10}
            for what, array in arrays.items():
                data, file = idx(array), FILES[f"{split} {what}"]
                path = folder / (f"{file}.gz" if gzipped else file)
                path.write_bytes(gzip.compress(data) if gzipped else data)
        return tmp_path

    return put


def opened(data: Path, name: str = "mnist"):
    return get_pair(f"{name}-{name}", data)[0][0]


def test_a_small_set_is_used_as_it_is(put) -> None:
    mnist = opened(put(n=400))
    assert mnist.split_sizes == {"train": 350, "validation": 50, "test": 100}
    samples = mnist.load("a")
    assert {split: samples[split].x.shape for split in SPLITS} == {
        "train": (350, 784),
        "validation": (50, 784),
        "test": (100, 784),
    }
    assert samples["train"].x.dtype == np.float32
    assert 0 <= samples["train"].x.min() < samples["train"].x.max() <= 1


def test_validation_has_every_class_alike_and_nothing_of_train(put) -> None:
    samples = opened(put(n=800)).load("a")
    assert np.bincount(samples["validation"].labels).tolist() == [10] * 10
    rows = [{row.tobytes() for row in samples[split].x} for split in ("train", "validation")]
    assert not rows[0] & rows[1]


def test_plain_and_gzipped_files_are_one_set(put, tmp_path: Path) -> None:
    plain = opened(put())
    gzipped = tmp_path / "zipped"
    (gzipped / "mnist").mkdir(parents=True)
    for path in (tmp_path / "mnist").iterdir():
        (gzipped / "mnist" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert opened(gzipped).data_id("a") == plain.data_id("a")


@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
def test_torchvisions_layout_is_found(put, below: str) -> None:
    assert opened(put(below=below)).split_sizes["test"] == 100


def test_torchvisions_own_root_is_found(put) -> None:
    assert opened(put("FashionMNIST", below="raw"), "fashion_mnist").split_sizes["test"] == 100


def test_other_pixels_are_another_set_and_other_models(put, tmp_path: Path) -> None:
    data = put()
    before = resolve("component_ablation", Selection(pair="mnist-mnist", preset="smoke"), data)
    path = data / "mnist" / FILES["train images"]
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    images.read.cache_clear()
    path.write_bytes(bytes(changed))
    after = resolve("component_ablation", Selection(pair="mnist-mnist", preset="smoke"), data)
    assert before.members[0].trial.base_a.model_id != after.members[0].trial.base_a.model_id


def test_label_counts_above_the_size_of_the_set_are_no_arms(put) -> None:
    arms = resolve("label_efficiency", Selection(pair="mnist-mnist", preset="smoke"), put(n=800)).arms
    assert [arm.varies["n_labels"] for arm in arms] == [0, 10, 100, "all"]


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "cut short": ("train images", lambda data: data[:-7], "are announced and"),
    "too long": ("test labels", lambda data: data + b"x", "are announced and"),
    "empty": ("train labels", lambda data: b"", "does not begin like an IDX file"),
    "a web page": ("train images", lambda data: b"<html>404</html>", "does not begin like an IDX file"),
    "floats": ("train images", lambda data: data[:2] + b"\x0d" + data[3:], "not bytes with 3"),
    "labels for images": ("train images", lambda data: idx(np.arange(400) % 10), "with 1 axes"),
    "a broken gzip": ("train images", lambda data: gzip.compress(data)[:-20], "damaged"),
    "a corrupt gzip": ("train images", lambda data: gzip.compress(data)[:40] + b"\0" * 90, "damaged"),
    "other pixels": ("train images", lambda data: idx(np.zeros((400, 20, 20))), "20x20 pixels, not 28x28"),
    "fewer labels": ("train labels", lambda data: idx(np.arange(399) % 10), "400 train images and 399 labels"),
    "an unknown class": ("train labels", lambda data: idx(np.arange(400) % 11), "classes 0 to 9 (see 10)"),
    "a missing class": ("test labels", lambda data: idx(np.arange(100) % 9), "classes 0 to 9 (see 9)"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_is_not_what_it_should_be_is_named_with_the_cure(put, kind: str) -> None:
    data = put()
    what, damage, said = DAMAGE[kind]
    path = data / "mnist" / FILES[what]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as error:
        opened(data)
    assert said in str(error.value)
    assert str(data / "mnist") in str(error.value)
    assert "put a good copy" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(put) -> None:
    data = put()
    (data / "mnist" / FILES["test labels"]).unlink()
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte \(or t10k-labels-idx1-ubyte\.gz\)"):
        opened(data)


def test_a_folder_without_the_files_is_not_downloaded_into(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mnist").mkdir()
    monkeypatch.setattr(images, "download", None)
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
        opened(tmp_path)


def test_where_nothing_can_be_downloaded_one_line_says_what_to_put_where(tmp_path: Path, monkeypatch) -> None:
    def offline(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(DataError, match=r"cannot be downloaded .*; put train-images-idx3-ubyte\.gz, .* into .*/mnist"):
        opened(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_set_is_downloaded_in_torchvisions_layout(put, tmp_path: Path, monkeypatch) -> None:
    """The real download by a stand-in for the network: torchvision's mirrors, checksums and layout are its own."""
    data = tmp_path / "empty"

    def fetch(root: str, download: bool) -> None:
        target = Path(root) / "MNIST/raw"
        target.mkdir(parents=True)
        for path in (put(n=400) / "mnist").iterdir():
            (target / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr("torchvision.datasets.MNIST", fetch)
    assert opened(data).split_sizes["train"] == 350
    assert (data / "mnist/MNIST/raw").is_dir()


@given(data=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_array_or_one_error(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(data)
    try:
        found: object = read_idx(path, 1)
    except DataError as error:
        found = error
    assert isinstance(found, np.ndarray) or str(path) in str(found)


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_images_at_hand_are_read(name: str) -> None:
    sizes = opened(Path(os.environ["BRIDGELAB_DATA"]), name).split_sizes
    assert sizes["train"] // sizes["validation"] in (6, 7)
    assert sizes["test"] >= 2000
