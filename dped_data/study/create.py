"""Make a study from folders of photos of the same scenes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dped_data.captures.listing import ListedPhoto, fault_of_name, is_foreign_folder, list_folder, shown_name
from dped_data.common.files import atomic_write_text, write_bytes, written_state
from dped_data.common.folder_lock import held
from dped_data.common.hints import hint
from dped_data.common.ownership import put, remove, remove_recorded, temporary_folder
from dped_data.common.progress import progress_bar
from dped_data.common.work_folder import WORK_FOLDER, is_marked
from dped_data.common.written_record import Written, recorded_files
from dped_data.errors import InputError, UsageError
from dped_data.photos.formats import PHOTO_SUFFIXES
from dped_data.study.answers_file import check_unanswered, forget_study
from dped_data.study.clean_copy import CleanCopy, clean_copy
from dped_data.study.records import Study, StudyGroup, StudyPhoto
from dped_data.study.study_file import PHOTOS_FOLDER, STUDY_NAME, read_study, study_text

_NAMES_SHOWN = 3


@dataclass(frozen=True)
class StudyCreation:
    """What `create_study` made.

    Attributes:
        folder: the study's folder.
        study: the study.
        without_partner: (group/class, photos that another class of the group lacks), where there are any.
        recoded: source names of photos that were stored as PNG, since browsers do not show them as they are.
        bytes: size of all photos.
    """

    folder: Path
    study: Study
    without_partner: tuple[tuple[str, int], ...]
    recoded: tuple[str, ...]
    bytes: int


def study_sets(photos: Path, named: tuple[str, ...]) -> dict[tuple[str, str], Path]:
    """Return (group, class) -> folder, from GROUP/CLASS=FOLDER texts, or if there are none from PHOTOS/GROUP/CLASS/.

    Raises:
        UsageError: a text of another form, or the same group and class twice.
        InputError: no folders below `photos`.
    """
    sets: dict[tuple[str, str], Path] = {}
    for text in named:
        key, separator, folder = text.partition("=")
        group, slash, class_name = key.partition("/")
        if not (separator and slash and group and class_name and folder) or "/" in class_name:
            raise UsageError(f"--set {text}: write GROUP/CLASS=FOLDER, such as sony/enhanced=enhanced/sony")
        if (group, class_name) in sets:
            raise UsageError(f"--set {text}: {key} was given before; name every class of a group once")
        sets[group, class_name] = Path(folder)
    if sets:
        return sets
    if not photos.is_dir():
        raise InputError(
            f"{photos}: no such folder; put photos into {photos}/GROUP/CLASS, such as {photos}/sony/enhanced, "
            "or name folders by --set GROUP/CLASS=FOLDER"
        )
    for group_folder in _folders(photos):
        sets.update({(group_folder.name, folder.name): folder for folder in _folders(group_folder)})
    if not sets:
        raise InputError(f"{photos}: no folders of the form GROUP/CLASS in it, such as {photos}/sony/enhanced")
    return sets


def create_study(
    sets: Mapping[tuple[str, str], Path], out: Path, *, title: str = "", scenes: int | None = None, seed: int = 0
) -> StudyCreation:
    """Make a study: every pair of classes of a group is compared on every scene (section 4.3 of the paper).

    Photos of one scene have the same file stem in every class. They are copied at full resolution and never compressed
    again, without metadata and under names that tell nothing (`clean_copy`).

    Args:
        sets: (group, class) -> folder of photos, searched with the folders in it.
        out: the study's folder, made whole or not at all. A study there that nobody has answered is replaced; files
            that are not of a study stay.
        title: shown to the subjects.
        scenes: scenes per group, chosen by `seed` among those that all classes have; None takes all.
        seed: of that choice and of every subject's order.
    Raises:
        InputError: a folder without photos, classes without common scenes, too few scenes, a photo that cannot be read,
            two photos of one class with one stem, or `out` holds answers or is being served. ForeignFileError: a file
            of somebody else has a name that the study needs.
        UsageError: fewer than two classes in a group, or fewer scenes than one.
    """
    if scenes is not None and scenes < 1:
        raise UsageError(f"--scenes {scenes}: at least 1")
    for group, class_name in sets:
        if fault := fault_of_name(f"{group}/{class_name}"):
            raise InputError(f"{shown_name(f'{group}/{class_name}')}: {fault}")
    listed = {key: _photos_by_stem(folder) for key, folder in sets.items()}
    groups = tuple(_group(name, listed, scenes, seed) for name in dict.fromkeys(group for group, _ in sets))
    _check_out(out)
    names = (STUDY_NAME, f"{PHOTOS_FOLDER}/")
    with held(out, "study create", names, adopt=_files_of_the_version_before) as work, temporary_folder(work) as new:
        check_unanswered(out)
        photos, recoded = _copy_photos(groups, sets, listed, new)
        total = sum(path.stat().st_size for path in new.iterdir())
        study = Study(title, seed, groups, photos)
        forget_study(out)
        remove(out / STUDY_NAME)  # goes first and comes last: what has one is whole
        remove_recorded(recorded_files(out / PHOTOS_FOLDER))
        (out / PHOTOS_FOLDER).mkdir(exist_ok=True)
        for path in sorted(new.iterdir()):
            put(path, out / PHOTOS_FOLDER / path.name, written_state(path))
        atomic_write_text(out / STUDY_NAME, study_text(study))
    used = {group.name: set(group.scenes) for group in groups}
    lonely = _without_partner(listed, {name: _common(name, listed) for name in used})
    return StudyCreation(out, study, lonely, recoded, total)


def creation_text(made: StudyCreation) -> str:
    """Return what was made, as the command prints it."""
    study = made.study
    lines = [
        f"{made.folder}: {len(study.questions)} questions, {len(study.photos)} photos ({made.bytes / 1e6:.1f} MB)",
        *(
            f"  {group.name}: {len(group.scenes)} scenes x {len(group.pairs)} pairs of {', '.join(group.classes)}"
            for group in study.groups
        ),
        *(
            f"  {where}: {count} photos without a partner in every class, left out"
            for where, count in made.without_partner
        ),
    ]
    if made.recoded:
        names = ", ".join(made.recoded[:_NAMES_SHOWN]) + (", ..." if len(made.recoded) > _NAMES_SHOWN else "")
        lines.append(f"  stored as PNG, since browsers do not show them as they are: {len(made.recoded)} ({names})")
    return "\n".join([*lines, f"  run it with: {hint('study serve', made.folder)}"])


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not is_foreign_folder(path.name)
    )


def _photos_by_stem(folder: Path) -> dict[str, ListedPhoto]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    listing = list_folder(folder, ".", folder.name, None)
    if listing.misnamed:
        raise InputError(f"{folder}: {listing.misnamed[0].file}: {listing.misnamed[0].reason}")
    if not listing.photos:
        raise InputError(f"{folder}: no photos in it; photos end in {', '.join(sorted(PHOTO_SUFFIXES))}")
    found: dict[str, ListedPhoto] = {}
    for photo in listing.photos:
        if photo.stem in found:
            raise InputError(
                f"{folder}: {found[photo.stem].file} and {photo.file} have the same stem '{photo.stem}'; "
                "scenes are matched by it, so rename one of them"
            )
        found[photo.stem] = photo
    return found


_Listed = Mapping[tuple[str, str], Mapping[str, ListedPhoto]]


def _common(group: str, listed: _Listed) -> set[str]:
    """The stems that every class of a group has."""
    return set.intersection(*(set(photos) for (name, _), photos in listed.items() if name == group))


def _without_partner(listed: _Listed, common: Mapping[str, set[str]]) -> tuple[tuple[str, int], ...]:
    counts = {f"{group}/{name}": len(set(photos) - common[group]) for (group, name), photos in listed.items()}
    return tuple((where, count) for where, count in counts.items() if count)


def _group(group: str, listed: _Listed, scenes: int | None, seed: int) -> StudyGroup:
    classes = tuple(class_name for name, class_name in listed if name == group)
    if len(classes) < 2:
        raise UsageError(f"group '{group}' has only the class '{classes[0]}'; a comparison needs at least two")
    common = sorted(_common(group, listed))
    if not common:
        examples = ", ".join(f"{name} has {min(listed[group, name])}" for name in classes)
        raise InputError(
            f"group '{group}': no scene has a photo in every class ({examples}); give them equal file stems"
        )
    if scenes is not None and scenes > len(common):
        raise InputError(f"group '{group}': {len(common)} scenes have a photo in every class, {scenes} are asked for")
    # By each scene's own rank, so that groups with the same scenes keep the same ones.
    ranked = sorted(common, key=lambda scene: hashlib.sha256(f"{seed}\0{scene}".encode()).digest())
    return StudyGroup(group, classes, tuple(sorted(ranked[:scenes])))


def _check_out(out: Path) -> None:
    there = out.is_dir() and any(out.iterdir())
    if there and not (is_marked(out / WORK_FOLDER) or (out / STUDY_NAME).exists()):
        raise InputError(f"{out}: exists and is no study; choose another --out")


def _files_of_the_version_before(out: Path) -> dict[Path, Written] | None:
    """The files of a study that a version without a record made."""
    try:
        study = read_study(out)
    except InputError:
        return None
    files = [out / STUDY_NAME, *(out / PHOTOS_FOLDER / photo.file for photo in study.photos)]
    return {path: written_state(path) for path in files}


def _copy_photos(
    groups: tuple[StudyGroup, ...], sets: Mapping[tuple[str, str], Path], listed: _Listed, folder: Path
) -> tuple[tuple[StudyPhoto, ...], tuple[str, ...]]:
    wanted = [(g.name, name, scene) for g in groups for name in g.classes for scene in g.scenes]
    copied: dict[Path, tuple[str, CleanCopy]] = {}
    photos: list[StudyPhoto] = []
    with progress_bar(len(wanted), label="copying", unit="photo") as bar:
        for group, class_name, scene in wanted:
            source = sets[group, class_name] / listed[group, class_name][scene].file
            if source not in copied:  # a class may stand in several groups
                copied[source] = _copy_photo(source, folder)
            name, copy = copied[source]
            photos.append(StudyPhoto(group, class_name, scene, name, copy.width_px, copy.height_px, source.name))
            bar.update(1)
    same = [name for name, count in Counter((p.group, p.scene, p.file) for p in photos).items() if count > 1]
    if same:
        raise InputError(
            f"group '{same[0][0]}': two classes have the same photo of scene '{same[0][1]}'; nothing to compare"
        )
    return tuple(photos), tuple(source.name for source, (_, copy) in copied.items() if copy.is_recoded)


def _copy_photo(source: Path, folder: Path) -> tuple[str, CleanCopy]:
    """Copy a photo into `folder` under the digest of its bytes; return the name and the copy without its bytes."""
    copy = clean_copy(source)
    name = f"{hashlib.sha256(copy.data).hexdigest()[:24]}{copy.suffix}"
    write_bytes(folder / name, copy.data)
    return name, replace(copy, data=b"")
