"""Names that stand in files lead nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dped_data.common.names import path_inside, plain_name
from dped_data.dataset.manifest import find_dataset, read_manifest
from dped_data.errors import InputError, UsageError

ELSEWHERE = ("../x", "/abs/x", "..", ".", "", "a/../../x", "a//b", "a\0b", "\ud800", "x" * 300, None, 5, ["x"])


@pytest.mark.parametrize("text", [*ELSEWHERE, "a/b", "a\\b", "C:x", "a\nb", "\x1b[2J"])
def test_a_name_that_leads_elsewhere_is_refused_in_one_line(text: object) -> None:
    with pytest.raises(InputError, match="dataset.json: phone .* is not a plain name") as raised:
        plain_name(text, "dataset.json: phone")
    assert str(raised.value).isprintable() and len(str(raised.value)) < 400


@pytest.mark.parametrize("text", [*ELSEWHERE, "/".join(["x" * 200] * 30)])
def test_a_path_that_leaves_its_folder_is_refused(text: object) -> None:
    with pytest.raises(InputError, match="photo .* leads out of its folder or is no path") as raised:
        path_inside(text, "photo")
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("text", ["sony", "my phone", "été", "..x", ".hidden", "a b-c_d.1"])
def test_a_plain_name_is_returned(text: str) -> None:
    assert plain_name(text, "phone") == text


@pytest.mark.parametrize("text", ["sony/1.jpg", "a\rb/c\nd.jpg", '"q", =x/\'y.jpg', "..x/...", "日本/é.jpg"])
def test_whatever_a_photo_is_called_is_a_path(text: str) -> None:
    assert path_inside(text, "photo") == text


@pytest.mark.parametrize("phone", ["../x", "/etc", "a/b", ".."])
def test_a_phone_on_the_command_line_is_a_name(tmp_path: Path, phone: str) -> None:
    with pytest.raises(UsageError, match="--phone .* is not a plain name"):
        find_dataset(tmp_path, phone)


@pytest.mark.parametrize("field", ["phone", "dslr"])
@pytest.mark.parametrize("name", ["../../x", "/abs/x", ".."])
def test_a_manifest_whose_camera_leads_elsewhere_is_refused(tmp_path: Path, field: str, name: str) -> None:
    (tmp_path / "dataset.json").write_text(_manifest(**{field: name}))
    with pytest.raises(InputError, match=f"dataset.json: {field} .* is not a plain name"):
        read_manifest(tmp_path)


def _manifest(**changed: object) -> str:
    import json

    none = {"captures": 0, "patches": 0, "shards": []}
    document = {"format": "dped-dataset", "format_version": 1, "phone": "p", "dslr": "d", "patch_size": 16}
    document |= {"source": "built", "alignment": "refined", "digest": "", "settings": {}, "versions": {}}
    document |= {"splits": dict.fromkeys(("train", "val", "test"), none), "totals": {}, "rejections": {}}
    return json.dumps(document | changed)
