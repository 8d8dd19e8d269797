"""Folders and lists of pictures among what is submitted: found, judged with everything else, and kept before it.

Input pictures are stored first: they are only ever added, so a submission that fails after that leaves nothing half
done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.building.builder import BuildOptions, build_planned
from jobs.building.plan import plan_build
from jobs.errors import PackReadError, RecordProblem, RefusedError
from jobs.inputs.store import keep
from jobs.packs.kinds import WORDS_OF_KIND
from jobs.packs.names import shown_name
from jobs.packs.pack import Pack, parse_pack
from jobs.packs.picture_lists import ListedPicture, PictureList, Watch, looks_like_pictures, read_picture_list
from jobs.packs.sources import PACK_SUFFIXES, PackSource, path_of
from jobs.submitting.importing import other_kinds
from jobs.submitting.ordering import FoundPacks, find
from webui.kinds import WorkKind

PICTURE_KINDS: Final = (WorkKind.I2V, WorkKind.EDIT)

EXPECTED_PICTURES: Final = (
    "a folder of pictures, a .csv or .jsonl list of them, or one PNG, JPEG, WebP or AVIF is expected."
)

WatchKeeping = Callable[[Sequence[ListedPicture]], Iterable[ListedPicture]]
"""Hands pictures on, and may show how far it is."""


@dataclass(frozen=True, slots=True)
class FoundPictures:
    """`packs` can be built; `broken` are lists with problems, which are told and never built into records.

    `lists` are those of `packs` that bring pictures along.
    """

    packs: FoundPacks
    lists: tuple[PictureList, ...]
    broken: tuple[PictureList, ...]

    def problems(self, options: BuildOptions) -> list[RecordProblem]:
        """Everything wrong with what was found, row by row; of broken lists also what building them would refuse."""
        found = list(self.packs.problems)
        for broken in self.broken:
            wrong = (*broken.problems, *_other_problems(broken, options))
            found += sorted(wrong, key=lambda problem: problem.row or 0)
        return found


def find_pictures(
    names_or_paths: Sequence[str],
    kind: WorkKind,
    *,
    name: str = "",
    prompt: str = "",
    negative_prompt: str = "",
    watch: Watch = iter,
) -> FoundPictures:
    """Packs of one kind: folders and lists of pictures by path, and imported packs by name. A path that exists wins.

    `name` is for the pack of the one folder or list.
    """
    packs: dict[str, Pack] = {}
    problems: list[RecordProblem] = []
    lists: list[PictureList] = []
    for text in names_or_paths:
        try:
            path = path_of(text)
        except PackReadError as exc:
            problems.append(
                RecordProblem(code="unreadable", message=str(exc), pack=shown_name(Path(text).stem))
            )
            continue
        if not (path.is_dir() or looks_like_pictures(path)):
            if path.is_file() and path.suffix.lower() not in PACK_SUFFIXES:
                words = f"{shown_name(text)} is neither a picture nor a list of pictures: {EXPECTED_PICTURES}"
                problems.append(RecordProblem(code="unreadable", message=words, pack=shown_name(path.stem)))
                continue
            found = find([text])
            wrong = {
                problem.pack: problem
                for problem in (
                    *_prompts_in_vain(found.packs, prompt or negative_prompt),
                    *_of_another_kind(found.packs, kind),
                )
            }
            problems += (*found.problems, *wrong.values())
            _add(packs, (pack for pack in found.packs if pack.source.pack_id not in wrong), problems)
            continue
        try:
            read = read_picture_list(
                path, kind, name=name, prompt=prompt, negative_prompt=negative_prompt, watch=watch
            )
        except PackReadError as exc:
            problems.append(RecordProblem(code="unreadable", message=str(exc), pack=shown_name(path.stem)))
            continue
        lists.append(read)
        if not read.problems:
            _add(packs, [parse_pack(read.source)], problems)
    problems += _taken_names([one.source for one in lists])
    return FoundPictures(
        FoundPacks(tuple(packs.values()), tuple(problems)),
        tuple(one for one in lists if not one.problems),
        tuple(one for one in lists if one.problems),
    )


def keep_pictures(lists: Iterable[PictureList], *, by: str = "", watch: WatchKeeping = iter) -> None:
    """Store the pictures of these lists; each file is read again and held to what it was.

    Raises `RefusedError` with every picture that changed meanwhile, and `InputNotKeptError` where the disk takes none.
    """
    pictures = {picture.facts.sha256: picture for one in lists for picture in one.pictures}
    problems: list[RecordProblem] = []
    for picture in watch(list(pictures.values())):
        content = _read_again(picture)
        if content is None:
            words = f"{picture.name} changed or went away while it was read. Submit it again."
            problems.append(RecordProblem(code="picture", message=words, field="image"))
        else:
            keep(content, picture.facts, name=picture.name, by=by)
    if problems:
        raise RefusedError(problems)


def _read_again(picture: ListedPicture) -> bytes | None:
    """None for other bytes than those that were judged, told by their number before they are read."""
    try:
        if picture.path.stat().st_size != picture.facts.size_bytes:
            return None
        content = picture.path.read_bytes()
    except OSError:
        return None
    return content if picture.facts.is_of(content) else None


def _other_problems(broken: PictureList, options: BuildOptions) -> Iterator[RecordProblem]:
    """What a build would refuse beside the rows that were told already."""
    made = build_planned(plan_build(parse_pack(broken.source), options))
    for problem in made.problems:
        rows = {problem.row} if problem.row is not None else set(problem.rows)
        if not rows or rows - broken.bad_rows:
            yield problem


def _add(packs: dict[str, Pack], found: Iterable[Pack], problems: list[RecordProblem]) -> None:
    for pack in found:
        name = pack.source.pack_id
        if packs.setdefault(name, pack).source != pack.source:
            message = f"Two different packs are called {name}; submit one, or rename its file."
            problems.append(RecordProblem(code="ambiguous", message=message, pack=name))


def _taken_names(sources: Sequence[PackSource]) -> Iterator[RecordProblem]:
    """The same pictures often become films and edits: then their packs need two names."""
    for problem in other_kinds(sources):
        words = problem.message.replace("Rename its file.", "Give this one another name with --name.")
        yield problem.model_copy(update={"message": words})


def _of_another_kind(packs: Iterable[Pack], kind: WorkKind) -> Iterator[RecordProblem]:
    for pack in packs:
        own = pack.source.kind
        if own != kind:
            words = f"Pack {pack.source.pack_id} makes {WORDS_OF_KIND[own]}, not {WORDS_OF_KIND[kind]}. "
            words += "Leave --kind out." if own == WorkKind.IMAGE else f"Use --kind {own}, or leave it out."
            yield RecordProblem(code="other_kind", message=words, pack=pack.source.pack_id)


def _prompts_in_vain(packs: Iterable[Pack], prompt: str) -> Iterator[RecordProblem]:
    if prompt:
        for pack in packs:
            words = (
                f"Pack {pack.source.pack_id} is imported, and its prompts with it: --prompt and --negative-prompt are "
                "for folders and lists of pictures."
            )
            yield RecordProblem(code="prompt", message=words, pack=pack.source.pack_id, field="prompt")
