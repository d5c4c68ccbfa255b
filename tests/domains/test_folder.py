"""A folder of class folders is a domain without a line of code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from bridgelab.domains import get_pair
from bridgelab.errors import DataError
from bridgelab.study import Selection, resolve

RNG = np.random.default_rng(0)


def picture(path: Path, c: int, paper: int = 255) -> None:
    pixels = np.full((40, 30), paper, np.uint8)
    pixels[5 + 3 * c : 12 + 3 * c, 10:20] = RNG.integers(100, 150)
    pixels[20, 15] = RNG.integers(0, 99)
    Image.fromarray(pixels).save(path)


def tone(path: Path, c: int) -> None:
    clip = np.sin(2 * np.pi * (300 + 200 * c) * np.arange(4000) / 16000) + 0.01 * RNG.standard_normal(4000)
    soundfile.write(path, 0.5 * clip, 16000)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """folder("my-cats", picture): twenty items in each of two classes."""

    def make(name: str, write: Callable[[Path, int], None], below: str = "", n: int = 20) -> Path:
        for c, class_name in enumerate(("cat", "dog")):
            own = tmp_path / name / below / class_name
            own.mkdir(parents=True)
            for i in range(n):
                write(own / f"{i}.{'wav' if write is tone else 'png'}", c)
        return tmp_path / name

    return make


@pytest.mark.parametrize("write", [picture, tone])
def test_pictures_and_sounds_in_class_folders_are_a_domain(folder, write) -> None:
    path = folder("My pets-2", write)
    (a, b), files = get_pair(f"folder:{path}-plane")
    assert (a.name, b.name, a.class_names) == ("folder_my_pets_2", "plane", ("cat", "dog"))
    assert (a.sound is None) == (write is picture)
    samples = a.load("a")
    assert (
        {split: len(part) for split, part in samples.items()}
        == a.split_sizes
        == {
            "train": 28,
            "validation": 4,
            "test": 8,
        }
    )
    assert samples["train"].x.shape[1:] == a.sample_shape
    assert 0 <= samples["train"].x.min() < samples["train"].x.max() <= 1
    assert [file.path for file in files] == [f"folder:{path}"]


def test_pictures_on_light_paper_become_light_on_dark(folder) -> None:
    (a, _), _ = get_pair(f"folder:{folder('x', picture)}-plane")
    x = a.load("a")["test"].x.reshape(-1, 28, 28)
    assert np.median(x[:, 0]) == 0
    assert x[:, 8:20, 10:18].max() > 0.3


def test_a_workers_domain_needs_no_data(folder) -> None:
    from bridgelab.domains import use_own

    _, (file,) = get_pair(f"folder:{folder('pets', picture)}-plane")
    assert str(folder) not in file.source
    assert use_own(file).class_names == ("cat", "dog")


def test_where_the_folder_lies_is_no_part_of_an_id(folder, tmp_path: Path) -> None:
    path = folder("pets", picture)
    before = get_pair(f"folder:{path}-plane")[0][0].data_id("a")
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "pets")
    assert get_pair(f"folder:{moved}-plane")[0][0].data_id("a") == before
    picture(moved / "cat" / "3.png", 1)
    assert get_pair(f"folder:{moved}-plane")[0][0].data_id("a") != before


def test_the_users_own_test_split_is_kept(folder) -> None:
    path = folder("pets", picture, "train")
    folder("pets", picture, "test", n=5)
    (a, _), _ = get_pair(f"plane-folder:{path}")[0][::-1], None
    assert a.split_sizes == {"train": 36, "validation": 4, "test": 10}
    assert {split: len(part) for split, part in a.load("b").items()} == a.split_sizes


def test_a_study_resolves_on_a_folder_and_names_it_in_its_command(folder) -> None:
    path = folder("pets", picture)
    resolved = resolve("component_ablation", Selection(pair=f"folder:{path}-folder:{path}", preset="smoke"))
    assert resolved.pair_name == "folder_pets-folder_pets"
    assert f"folder:{path}" in resolved.command


def test_a_folder_that_is_no_set_of_classes_is_named(folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        get_pair(f"folder:{tmp_path / 'none'}-plane")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no classes"):
        get_pair(f"folder:{tmp_path / 'empty'}-plane")
    path = folder("few", picture, n=3)
    with pytest.raises(DataError, match="has 3 items of class 'cat'"):
        get_pair(f"folder:{path}-plane")
    mixed = folder("mixed", picture)
    tone(mixed / "cat" / "x.wav", 0)
    with pytest.raises(DataError, match="both pictures and sounds"):
        get_pair(f"folder:{mixed}-plane")
