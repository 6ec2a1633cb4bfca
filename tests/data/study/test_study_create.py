"""Studies from photo sets: the right questions, opaque names, and plain words where sets do not fit."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from study_photos import CLASSES, answer_all, make_study, prefers, write_photo_sets

from dped_data.errors import InputError, UsageError
from dped_data.photos.files import LARGEST_FILE
from dped_data.photos.reading import read_photo
from dped_data.study.create import create_study, creation_text, study_sets
from dped_data.study.order import shown_questions
from dped_data.study.store import AnswerStore
from dped_data.study.study_file import read_study


def test_nine_scenes_and_three_classes_are_27_questions_per_group(tmp_path: Path) -> None:
    """Section 4.3: 27 questions per phone, 108 for three phones and the comparison with manual work."""
    sets = write_photo_sets(tmp_path / "a", ("blackberry", "iphone", "sony"), scenes=9)
    sets |= write_photo_sets(tmp_path / "b", ("retouched",), scenes=9, classes=("enhanced", "manual", "automatic"))
    study = create_study(sets, tmp_path / "study").study
    assert Counter(q.group for q in study.questions) == dict.fromkeys(("blackberry", "iphone", "sony", "retouched"), 27)
    assert len(study.questions) == len(set(study.questions)) == 108
    assert read_study(tmp_path / "study") == study


def test_any_number_of_classes_and_scenes(tmp_path: Path) -> None:
    sets = write_photo_sets(tmp_path / "sets", scenes=2, classes=("a", "b", "c", "d", "e"))
    assert len(create_study(sets, tmp_path / "study").study.questions) == 2 * 10


def test_photos_are_whole_and_their_names_tell_nothing(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    for photo in study.photos:
        source = tmp_path / "sets" / photo.group / photo.class_name / photo.source
        stored = folder / "photos" / photo.file
        assert np.array_equal(read_photo(source), read_photo(stored))
        assert (photo.height_px, photo.width_px) == read_photo(source).shape[:2]
        assert not any(word in photo.file for word in (*CLASSES, "sony", "scene"))
    assert {path.name for path in (folder / "photos").iterdir()} == {photo.file for photo in study.photos}
    assert {path.name for path in folder.iterdir()} == {".dped", "photos", "study.json"}


def test_same_photos_same_bytes(tmp_path: Path) -> None:
    sets = write_photo_sets(tmp_path / "sets")
    for name in ("one", "two"):
        create_study(sets, tmp_path / name, scenes=2, seed=4)
    one, two = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).glob("[!.]*/*.*")} for n in ("one", "two")
    )
    assert one == two


def test_scenes_are_chosen_by_seed_and_alike_in_all_groups(tmp_path: Path) -> None:
    sets = write_photo_sets(tmp_path / "sets", ("iphone", "sony"), scenes=12)
    chosen = {
        seed: [g.scenes for g in create_study(sets, tmp_path / str(seed), scenes=4, seed=seed).study.groups]
        for seed in range(4)
    }
    assert all(first == second and len(first) == 4 for first, second in chosen.values())
    assert len({first for first, _ in chosen.values()}) > 1


def test_photos_without_partner_are_left_out_and_counted(tmp_path: Path) -> None:
    sets = write_photo_sets(tmp_path / "sets", scenes=4)
    (sets["sony", "dslr"] / "scene1.png").unlink()
    made = create_study(sets, tmp_path / "study")
    assert made.study.groups[0].scenes == ("scene0", "scene2", "scene3")
    assert made.without_partner == (("sony/original", 1), ("sony/enhanced", 1))
    assert "sony/original: 1 photos without a partner" in creation_text(made)


def test_sets_are_named_or_found(tmp_path: Path) -> None:
    sets = write_photo_sets(tmp_path / "sets", ("iphone", "sony"))
    assert study_sets(tmp_path / "sets", ()) == dict(sorted(sets.items()))
    assert study_sets(tmp_path / "sets", ("x/a=here", "x/b=there/b=c")) == {
        ("x", "a"): Path("here"),
        ("x", "b"): Path("there/b=c"),
    }
    for wrong in ("x/a", "x=here", "/a=here", "x/=here", "x/a/b=here", "x/a="):
        with pytest.raises(UsageError, match="write GROUP/CLASS=FOLDER"):
            study_sets(tmp_path, (wrong,))
    with pytest.raises(UsageError, match="given before"):
        study_sets(tmp_path, ("x/a=here", "x/a=there"))
    with pytest.raises(InputError, match="no such folder; put photos into"):
        study_sets(tmp_path / "none", ())
    with pytest.raises(InputError, match="no folders of the form GROUP/CLASS"):
        study_sets(tmp_path / "sets" / "sony" / "dslr", ())


def test_sets_that_do_not_fit_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    sets = write_photo_sets(tmp_path / "sets")
    dslr = sets["sony", "dslr"]
    out = tmp_path / "study"
    with pytest.raises(UsageError, match="only the class 'dslr'"):
        create_study({("sony", "dslr"): dslr}, out)
    with pytest.raises(InputError, match="3 scenes have a photo in every class, 9 are asked for"):
        create_study(sets, out, scenes=9)
    with pytest.raises(UsageError, match="at least 1"):
        create_study(sets, out, scenes=0)
    with pytest.raises(InputError, match="same photo of scene 'scene0'"):
        create_study({("sony", "dslr"): dslr, ("sony", "again"): dslr}, out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no photos"):
        create_study({**sets, ("sony", "x"): tmp_path / "empty"}, out)
    (dslr / "more").mkdir()
    shutil.copy(dslr / "scene0.png", dslr / "more" / "scene0.png")
    with pytest.raises(InputError, match="same stem 'scene0'"):
        create_study(sets, out)
    shutil.rmtree(dslr / "more")
    for path in sorted(dslr.iterdir()):
        path.rename(dslr / f"other-{path.name}")
    with pytest.raises(InputError, match=r"no scene has a photo in every class .*dslr has other-scene0"):
        create_study(sets, out)
    (dslr / "scene0.png").write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"scene0\.png: not a photo"):
        create_study(sets, out)
    assert not out.exists()


def test_answers_are_never_overwritten(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    sets = study_sets(tmp_path / "sets", ())
    create_study(sets, folder, scenes=2)  # nobody has answered
    with closing(AnswerStore(folder, read_study(folder))) as store:
        answer_all(store, prefers(*CLASSES), 1)
    with pytest.raises(InputError, match="holds 1 answers"):
        create_study(sets, folder)
    assert len(read_study(folder).questions) == 6 != len(study.questions)
    with pytest.raises(InputError, match="exists and is no study"):
        create_study(sets, tmp_path / "sets")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format_version=9), "format version 9"),
        (lambda d: d.pop("groups"), "not a study"),
        (lambda d: d["photos"].pop(), "not a study"),
        (lambda d: d["photos"][0].update(file="../study.json"), "not a study"),
        (lambda d: d.update(groups=[], photos=[]), "not a study"),
        (lambda d: d["photos"][0].update(file="x.bmp"), "not a study .*ends in none of .jpg, .png"),
        (lambda d: d["photos"][0].update(file=".png"), "not a study .*ends in none of"),
    ],
)
def test_a_damaged_study_is_refused(tmp_path: Path, change: object, words: str) -> None:
    folder, _ = make_study(tmp_path)
    document = json.loads((folder / "study.json").read_text())
    change(document)  # type: ignore[operator]
    (folder / "study.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=words):
        read_study(folder)


def test_a_study_without_its_photos_is_refused(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    (folder / "photos" / study.photos[0].file).unlink()
    with pytest.raises(InputError, match="missing; copy the study's folder whole"):
        read_study(folder)
    with pytest.raises(InputError, match="dped study create"):
        read_study(tmp_path)


@pytest.mark.parametrize("what", ["link", "link inside", "folder", "pipe", "too large", "folder of photos"])
def test_a_study_shows_no_other_files_than_its_own(tmp_path: Path, what: str) -> None:
    folder, study = make_study(tmp_path)
    photo = folder / "photos" / study.photos[0].file
    if what == "folder of photos":
        (folder / "photos").rename(tmp_path / "elsewhere")
        (folder / "photos").symlink_to(tmp_path / "elsewhere")
    elif what == "too large":
        os.truncate(photo, LARGEST_FILE + 1)
    else:
        photo.rename(folder / "photos" / "kept.png")
        {
            "link": lambda: photo.symlink_to(tmp_path / "sets" / "sony" / "dslr" / "scene0.png"),
            "link inside": lambda: photo.symlink_to("kept.png"),
            "folder": photo.mkdir,
            "pipe": lambda: os.mkfifo(photo),
        }[what]()
    with pytest.raises(InputError, match="more than 2 GiB" if what == "too large" else "a link or no regular file"):
        read_study(folder)


def test_a_study_in_a_folder_that_is_linked_to_is_read(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    assert read_study(tmp_path / "link") == study


def test_every_subject_gets_every_question_in_an_order_of_its_own(tmp_path: Path) -> None:
    _, study = make_study(tmp_path, ("iphone", "sony"), scenes=9)
    orders = {subject: shown_questions(study, subject) for subject in ("ada", "ben", "cleo")}
    for subject, shown in orders.items():
        assert shown == shown_questions(study, subject)
        assert Counter(entry.question for entry in shown) == Counter(study.questions)
        for group in study.groups:
            for pair in group.pairs:
                entries = [e for e in shown if e.question.group == group.name and {e.left, e.right} == {*pair}]
                assert sum(e.left == pair[0] for e in entries) in (4, 5)  # of nine scenes
    sequences = [[entry.question for entry in shown] for shown in orders.values()]
    assert sequences[0] != sequences[1] != sequences[2]
    sides = [{e.question: e.left for e in shown} for shown in orders.values()]
    assert sides[0] != sides[1] != sides[2]


def test_orders_are_as_good_as_random_over_subjects(tmp_path: Path) -> None:
    """Over 400 subjects each question stands anywhere and each side is as frequent, within four deviations."""
    _, study = make_study(tmp_path, scenes=3)
    first, left = Counter(), Counter()
    for number in range(400):
        shown = shown_questions(study, f"s{number}")
        first[shown[0].question] += 1
        left.update(e.question for e in shown if e.left == e.question.first)
    for question in study.questions:
        assert abs(first[question] - 400 / 9) < 4 * (400 * (1 / 9) * (8 / 9)) ** 0.5
        assert abs(left[question] - 200) < 4 * 10
