"""A person's list of pairs is followed to the letter, or refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dped_data.captures.find import find_captures
from dped_data.captures.records import Pairing
from dped_data.captures.report import pairing_table
from dped_data.captures.split import assign_splits
from dped_data.errors import InputError
from dped_data.photos.exif import exif_with_time
from dped_data.settings import PairingSettings, SplitSettings

SONY = ("a.jpg", "day/b.jpg", "c.jpg", "caf\u00e9.jpg", "x/1.jpg", "y/1.jpg")
CANON = ("1.jpg", "2.jpg", "3.jpg", "4,5.jpg", "-6;.jpg", "=7.jpg")


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    for camera, names in (("sony", SONY), ("canon", CANON)):
        for index, name in enumerate(names):
            path = tmp_path / "captures" / camera / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6)).save(path, exif=exif_with_time(1.7e9 + 100 * index))
    return tmp_path / "captures"


def paired(captures: Path, text: str | bytes) -> Pairing:
    path = captures.parent / "pairs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return find_captures(captures, "sony", "canon", PairingSettings(), path)


@pytest.mark.parametrize(
    "text",
    [
        "sony/a.jpg,canon/2.jpg\nsony/day/b.jpg,canon/1.jpg\n",
        "phone,dslr\na.jpg,2.jpg\nb.jpg,1.jpg",
        "\ufeffdslr_file;note;phone_file\r\n2.jpg;x;a.jpg\r\n\r\n 1.jpg ;;day/b.jpg\r\n",
        "a.jpg\t./2.jpg\nday\\b.jpg\t1.jpg\n",
    ],
)
def test_a_list_pairs_what_it_names_and_nothing_else(captures: Path, text: str) -> None:
    pairing = paired(captures, text)
    assert [(c.capture_id, c.phone_file, c.dslr_file, c.time_s) for c in pairing.captures] == [
        ("a", "sony/a.jpg", "canon/2.jpg", 1.7e9),
        ("day/b", "sony/day/b.jpg", "canon/1.jpg", 1.7e9 + 100),
    ]
    assert len(pairing.unpaired) == 8
    assert {photo.reason for photo in pairing.unpaired} == {"not in pairs.csv"}
    table = pairing_table(pairing, assign_splits(pairing.captures, SplitSettings()))
    assert table.startswith("2 captures paired by the list given, 8 photos without a partner")


def test_names_are_taken_as_they_stand(captures: Path) -> None:
    pairing = paired(captures, 'x/1.jpg,"4,5.jpg"\ny/1.jpg,-6;.jpg\ncafe\u0301.jpg,=7.jpg\n')
    assert {c.phone_file: c.dslr_file for c in pairing.captures} == {
        "sony/x/1.jpg": "canon/4,5.jpg",
        "sony/y/1.jpg": "canon/-6;.jpg",
        "sony/caf\u00e9.jpg": "canon/=7.jpg",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,2.jpg\nz.jpg,1.jpg\n", "pairs.csv, line 2: sony has no photo 'z.jpg'; it has 6 such as sony/a.jpg"),
        ("a.jpg,2.jpg\nc.jpg,2.jpg\n", "line 2: canon/2.jpg has a partner in line 1 already"),
        ("1.jpg,2.jpg\n", "line 1: '1.jpg' may be sony/x/1.jpg, sony/y/1.jpg; give its path below the captures"),
        ("a.jpg\n", "line 1: a pair is two files: phone file, DSLR file"),
        ("a.jpg,\n", "line 1: a pair is two files"),
        ("phone,dslr\n", "no pairs in it"),
        ("", "no pairs in it"),
        (b"\xff\xfea", "cannot be read"),
        ("2.jpg,a.jpg\n", "line 1: sony has no photo '2.jpg'"),
    ],
)
def test_what_a_list_cannot_mean_is_one_line(captures: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        paired(captures, text)
    assert "\n" not in str(error.value)


def test_a_missing_list_is_named(captures: Path) -> None:
    with pytest.raises(InputError, match="nowhere.csv: no such file; a list of pairs is a CSV file"):
        find_captures(captures, "sony", "canon", PairingSettings(), captures / "nowhere.csv")


def test_two_photos_of_one_name_cannot_be_two_captures(captures: Path) -> None:
    Image.new("RGB", (8, 6)).save(captures / "sony/a.png")
    with pytest.raises(InputError, match="sony/a.jpg and sony/a.png would be one capture by their names; rename one"):
        paired(captures, "a.jpg,1.jpg\na.png,2.jpg\n")
