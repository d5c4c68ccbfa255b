"""Pictures, sounds and tables of anybody's: what they say of themselves is not believed."""

import gzip
import os
from pathlib import Path

import damage
import numpy as np
import pytest
import soundfile
from larger import sparse
from peak import at_most
from PIL import Image

from bridgelab.domains import folder
from bridgelab.domains.clips import read_sounding
from bridgelab.domains.idx import read_idx
from bridgelab.domains.pictures import read_grey
from bridgelab.errors import BridgelabError, DataError
from bridgelab.lab import Lab


def test_a_packed_idx_file_unpacks_to_what_it_announces_and_no_more(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.gz", "wb", compresslevel=1) as file:
        file.write(damage.idx(np.zeros(10)))
        for _ in range(64):
            file.write(bytes(1 << 20))
    with at_most(16), pytest.raises(DataError, match="10 bytes are announced and more are there"):
        read_idx(tmp_path / "x.gz", 1)


def test_an_idx_file_that_announces_too_much_is_refused(tmp_path: Path) -> None:
    sparse(tmp_path / "x", bytes([0, 0, 8, 1]) + b"\xff" * 4)
    with at_most(16), pytest.raises(DataError, match="are the most that is read"):
        read_idx(tmp_path / "x", 1)


def test_a_picture_is_one_of_a_few_formats_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with pytest.raises(DataError, match="no picture that can be read"):
        read_grey(tmp_path / "x.png")


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    for side in (8_000, 14_000):
        Image.new("1", (side, side)).save(tmp_path / "x.png")
        with pytest.raises(DataError, match=r"x\.png (has 8000x8000 pixels|is no picture)"):
            read_grey(tmp_path / "x.png")


@pytest.mark.parametrize("rate", [1, 44_101, 383_987, 2_147_483_647])
def test_a_sound_at_a_rate_without_a_short_way_is_refused(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "x.wav", np.sin(np.arange(9_000)), 8_000)
    data = bytearray((tmp_path / "x.wav").read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "x.wav").write_bytes(data)
    with (
        at_most(64),
        pytest.raises(DataError, match=r"x\.wav (has .* samples a second|is not audio)"),
    ):
        read_sounding(tmp_path / "x.wav", 8_000)


def test_a_sound_that_says_it_is_endless_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", np.sin(np.arange(9_000)), 8_000)
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[21:26] = bytes([data[21] | 0x0F]) + b"\xff" * 4  # 36 bits of samples
    (tmp_path / "x.flac").write_bytes(data)
    with at_most(16), pytest.raises(DataError, match="is too long"):
        read_sounding(tmp_path / "x.flac", 8_000)


def test_folders_of_pictures_may_hold_what_is_none(tmp_path: Path) -> None:
    for name in ("a", "²"):
        (tmp_path / name / "folder.png").mkdir(parents=True)
        os.mkfifo(tmp_path / name / "pipe.png")
        for i in range(12):
            Image.new("L", (9, 9), 20 * i).save(tmp_path / name / f"{i}.png")
    found = folder.contents(tmp_path)
    assert found.class_names == ("a", "²")
    assert len(found.files) == 24
    assert len(found.sha256) == 64


@pytest.mark.parametrize("n", ["1e12", "2.5", "0", "-1"])
def test_a_number_of_replicates_that_cannot_be_is_refused(lab: Lab, tmp_path: Path, n: str) -> None:
    from bridgelab import declarations

    (tmp_path / "x.csv").write_text(f"arm,metric,mean,n\nTheirs,transfer_accuracy_ab,0.9,{n}\n")
    with pytest.raises(BridgelabError, match="give a whole number"):
        declarations.bring_in(lab, "s", "p", tmp_path / "x.csv")
