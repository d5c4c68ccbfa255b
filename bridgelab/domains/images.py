"""MNIST and Fashion-MNIST: 28x28 grey images in ten classes, from a folder of IDX files.

The folder of a domain is DATA/<name>, with the four files of its source, plain or gzipped; or it is in
torchvision's layout. A set of fewer images than the original is used as it is. What is missing is
downloaded through torchvision, which checks it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..config import ClassifierConfig, NLabels, Preset, Side, VAEConfig
from ..errors import DataError
from . import Domain, Samples, Split, stratified, unidentified, unloaded
from .idx import read_idx

FILES: Mapping[str, tuple[str, int]] = {
    "train images": ("train-images-idx3-ubyte", 3),
    "train labels": ("train-labels-idx1-ubyte", 1),
    "test images": ("t10k-images-idx3-ubyte", 3),
    "test labels": ("t10k-labels-idx1-ubyte", 1),
}
"""What a folder holds: file name without .gz, and the axes of its array."""
TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
"""The class in torchvision.datasets, which also names the folder that it keeps its files in."""
VALIDATION_SHARE = 1 / 8
SIDE = 28

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """A domain's images as a folder holds them."""

    name: str
    train: tuple[Pixels, Labels]
    test: tuple[Pixels, Labels]
    sha256: str
    "of pixels and labels: the same from plain and gzipped files"

    @functools.cached_property
    def parts(self) -> Mapping[Split, list[int]]:
        """Positions in train and test. Validation is a fixed eighth of train, by class and content."""
        pixels, labels = self.train
        validation, train = stratified(pixels, labels, range(len(labels)), VALIDATION_SHARE)
        return {"train": train, "validation": validation, "test": list(range(len(self.test[1])))}

    def load(self, side: Side) -> Mapping[Split, Samples]:
        """Pixels in [0, 1] as x (N, 784); both sides of a pair are the same data."""
        found: dict[Split, Samples] = {}
        for split, part in self.parts.items():
            pixels, labels = self.test if split == "test" else self.train
            x = pixels[part].reshape(len(part), -1).astype(np.float32) / np.float32(255)
            found[split] = Samples(x, labels[part])
        return found

    def data_id(self, side: Side) -> str:
        return f"{self.name}/{self.sha256[:20]}/splits-1"


def at(domain: Domain, data: Path) -> Domain:
    """The domain with the images of a data folder; downloads them where there are none.

    Raises DataError for files that are missing, damaged or do not fit each other.
    """
    folder = find(domain.name, data) or download(domain.name, data)
    images = read(domain.name, folder)
    sizes: Mapping[Split, int] = {split: len(part) for split, part in images.parts.items()}
    return replace(domain, load=images.load, split_sizes=sizes, data_id=images.data_id)


def find(name: str, data: Path) -> Path | None:
    """The folder with a domain's files; None where no such folder exists. Raises DataError for a part of one."""
    for folder in _places(name, data):
        missing = [file for file, _ in FILES.values() if not _file(folder, file)]
        if folder.is_dir() and len(missing) < len(FILES):
            if missing:
                raise DataError(
                    f"{folder} lacks {missing[0]} (or {missing[0]}.gz); put it there, or move the folder away"
                )
            return folder
    if (data / name).is_dir():
        file = FILES["train images"][0]
        raise DataError(f"{data / name} has no {file} (or {file}.gz); put the four IDX files there, or move it away")
    return None


def download(name: str, data: Path) -> Path:
    """Fetches a domain's files into DATA/<name> by torchvision. Raises DataError where that cannot be."""
    files = ", ".join(f"{file}.gz" for file, _ in FILES.values())
    cure = f"put {files} into {data / name}, or give --data a folder that has {name}/"
    was_there = data.exists()
    try:
        import torchvision.datasets

        getattr(torchvision.datasets, TORCHVISION[name])(str(data / name), download=True)
    except (OSError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        with_folder = data / name
        if with_folder.is_dir() and not any(with_folder.rglob("*ubyte*")):
            _remove_empty(with_folder)
        if not was_there and data.is_dir() and not any(data.iterdir()):
            data.rmdir()
        raise DataError(f"no {name} in {data}, and it cannot be downloaded ({reason}); {cure}") from None
    found = find(name, data)
    if found is None:
        raise DataError(f"what was downloaded into {data / name} is not there; {cure}")
    return found


@functools.lru_cache(maxsize=4)
def read(name: str, folder: Path) -> Images:
    """The images of a folder, read once a process."""
    arrays = {what: read_idx(_existing(folder, file), axes) for what, (file, axes) in FILES.items()}
    digest = hashlib.sha256()
    for split in ("train", "test"):
        images, labels = arrays[f"{split} images"], arrays[f"{split} labels"]
        _check(folder, split, images, labels)
        digest.update(images.tobytes() + labels.tobytes())
    train, test = (
        (arrays[f"{split} images"], arrays[f"{split} labels"].astype(np.int64)) for split in ("train", "test")
    )
    return Images(name, train, test, digest.hexdigest())


def _check(folder: Path, split: str, images: Pixels, labels: Pixels) -> None:
    cure = "put a good copy of the set there"
    if len(images) != len(labels):
        raise DataError(f"{folder} has {len(images):,} {split} images and {len(labels):,} labels; {cure}")
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{folder} has {split} images of {images.shape[1]}x{images.shape[2]} pixels, not 28x28; {cure}")
    classes = set(np.unique(labels).tolist())
    if classes != set(range(10)):
        odd = sorted(classes ^ set(range(10)))
        raise DataError(f"the {split} labels in {folder} are not of the classes 0 to 9 (see {odd[0]}); {cure}")


def _places(name: str, data: Path) -> Iterator[Path]:
    torchvision = TORCHVISION[name]
    yield data / name
    yield data / name / "raw"
    yield data / name / torchvision / "raw"
    yield data / torchvision / "raw"


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _existing(folder: Path, name: str) -> Path:
    path = _file(folder, name)
    assert path is not None, f"{folder} was searched for {name} before"
    return path


def _remove_empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
    folder.rmdir()


SMOKE_BRIDGE = {
    "bridge.shared_dim": 8,
    "bridge.n_layers": 1,
    "bridge.hidden_dim": 32,
    "bridge.batch_size": 32,
    "bridge.labelled_batch_size": 32,
    "bridge.n_steps": 160,
    "bridge.learning_rate": 3e-3,
}
DESK_BRIDGE = {
    "bridge.shared_dim": 8,
    "bridge.n_layers": 3,
    "bridge.hidden_dim": 192,
    "bridge.batch_size": 128,
    "bridge.labelled_batch_size": 64,
    "bridge.n_steps": 2000,
    "bridge.learning_rate": 3e-3,
}
FULL_BRIDGE = {
    "bridge.shared_dim": 8,
    "bridge.n_layers": 4,
    "bridge.hidden_dim": 512,
    "bridge.batch_size": 128,
    "bridge.labelled_batch_size": 128,
    "bridge.n_steps": 50_000,
    "bridge.learning_rate": 1e-3,
}
RECIPE = {"bridge.beta_kl": 0.07, "bridge.beta_swd": 3.0}
"""What the default recipe sets otherwise between pictures, of sounds too."""
SMOKE_PIXELS = {"pixels.n_filters": 4, "pixels.n_blocks": 1, "pixels.batch_size": 8, "pixels.n_steps": 6}
DESK_PIXELS = {"pixels.n_filters": 16, "pixels.n_blocks": 3, "pixels.batch_size": 8, "pixels.n_steps": 10_000}
"""Small batches, as their authors have them: at the same cost many more steps."""
SMOKE = Preset(
    vae=VAEConfig(hidden_dim=128, n_layers=1, latent_dim=16, learning_rate=2e-3, batch_size=64, n_steps=200),
    judge=ClassifierConfig(hidden_dim=128, n_layers=1, learning_rate=2e-3, batch_size=64, n_steps=200),
    bridge=SMOKE_BRIDGE,
    n_replicates=2,
    pixels=SMOKE_PIXELS,
)
FULL = Preset(vae=VAEConfig(), judge=ClassifierConfig(), bridge=FULL_BRIDGE, n_replicates=8)
COUNTS: tuple[NLabels, ...] = (0, 10, 100, 1_000, 10_000, "all")


def _domain(
    name: str,
    title: str,
    class_names: tuple[str, ...],
    desk: Preset,
    margin: int = 0,
    default: Mapping[str, float] = MappingProxyType({}),
) -> Domain:
    return Domain(
        name=name,
        title=title,
        sample_shape=(SIDE * SIDE,),
        image_shape=(SIDE, SIDE),
        margin=margin,
        class_names=class_names,
        label_counts=COUNTS,
        presets={"smoke": SMOKE, "desk": desk, "full": FULL},
        recipes={"default": {**RECIPE, **default}},
        load=unloaded,
        split_sizes={},
        data_id=unidentified,
        is_in=lambda data: find(name, data) is not None,
        at=at,
    )


MNIST = _domain(
    "mnist",
    "MNIST, handwritten digits",
    tuple("0123456789"),
    Preset(
        vae=VAEConfig(
            hidden_dim=512, n_layers=2, latent_dim=32, learning_rate=2e-3, batch_size=64, n_steps=5000, shift=1
        ),
        judge=ClassifierConfig(
            kind="cnn",
            hidden_dim=128,
            pool="mean",
            noise=0.3,
            learning_rate=2e-3,
            weight_decay=1e-4,
            batch_size=64,
            n_steps=2000,
            shift=1,
        ),
        bridge=DESK_BRIDGE,
        n_replicates=8,
        pixels=DESK_PIXELS,
    ),
    margin=4,
)
FASHION_MNIST = _domain(
    "fashion_mnist",
    "Fashion-MNIST, articles of clothing",
    ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    Preset(
        vae=VAEConfig(
            hidden_dim=512,
            n_layers=2,
            latent_dim=32,
            x_sigma=0.07,
            learning_rate=1.5e-3,
            batch_size=128,
            n_steps=10_000,
        ),
        judge=ClassifierConfig(
            kind="cnn",
            hidden_dim=128,
            pool="mean",
            noise=0.14,
            learning_rate=2e-3,
            weight_decay=1e-4,
            batch_size=128,
            n_steps=6000,
        ),
        bridge=DESK_BRIDGE | {"bridge.hidden_dim": 256, "bridge.n_steps": 4500},
        n_replicates=8,
        pixels=DESK_PIXELS,
    ),
    # A lighter classifier, a wider bridge and more steps read garments better.
    default={"bridge.beta_kl": 0.1, "bridge.beta_cls": 1.0, "bridge.shared_dim": 16},
)
