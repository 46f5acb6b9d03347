"""Find clips by the names and numbers that people know them by."""

import asyncio
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prefect_seedance.clips.history import clip_histories
from prefect_seedance.clips.ledger import CONCURRENT_READS, Ledger
from prefect_seedance.clips.record_format import parse_record
from prefect_seedance.clips.records import Attempt
from prefect_seedance.errors import SetupError, UnreadableRecordError
from prefect_seedance.report.clip_names import clip_file
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import key_name

_NUMBER = re.compile(r"[0-9]{1,4}")
"""A number. More digits are those of a fingerprint, fewer never are, so that a number means one thing."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One occurrence of a clip in a storyboard, as of the production's last run.

    Attributes:
        file_name: Name of the clip's file for people.
        file: Key of that file; None if there is none.
    """

    production: str
    number: int
    name: str
    file_name: str
    file: str | None


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places of the clips of an archive.

    Attributes:
        by_fingerprint: The places of each clip that is in a storyboard.
        productions: Those whose last run is known.
    """

    by_fingerprint: Mapping[str, Sequence[Place]]
    productions: frozenset[str]

    @classmethod
    async def of(cls, store: Store) -> "Places":
        """Read the places from the manifests of an archive; a damaged manifest has none."""
        keys = await store.keys("productions/")
        names = [key.split("/")[1] for key in keys if re.fullmatch(r"productions/[^/]+/manifest\.json", key)]
        readers = asyncio.Semaphore(CONCURRENT_READS)
        manifests = await asyncio.gather(*[_manifest(store, name, readers) for name in names])
        found: defaultdict[str, list[Place]] = defaultdict(list)
        for manifest in filter(None, manifests):
            for fingerprint, place in _places(manifest, keys=frozenset(keys)):
                found[fingerprint].append(place)
        known = frozenset(manifest.production for manifest in manifests if manifest)
        return cls(by_fingerprint=found, productions=known)

    def matching(self, text: str, *, production: str = "") -> Iterator[tuple[str, Place]]:
        """Yield each place that a number, a name or a file's name describes, with its clip's fingerprint."""
        for fingerprint, places in self.by_fingerprint.items():
            for place in places:
                number = int(text) if _NUMBER.fullmatch(text) else 0
                named = _normal(text) in {_normal(place.name), _normal(place.file_name)}
                if production in {"", place.production} and (named or place.number == number):
                    yield fingerprint, place


async def _manifest(store: Store, name: str, readers: asyncio.Semaphore) -> Manifest | None:
    key = production_key(name, "manifest.json")
    async with readers:
        content = await store.read(key)
    try:
        return parse_record(Manifest, content or b"", link=store.link(key), remedy="run produce again")
    except UnreadableRecordError:
        return None


def _places(manifest: Manifest, *, keys: frozenset[str]) -> Iterator[tuple[str, Place]]:
    for entry in manifest.clips:
        file_name = clip_file(manifest, entry)
        key = production_key(manifest.production, f"clips/{file_name}")
        yield (
            entry.fingerprint,
            Place(
                production=manifest.production,
                number=entry.number,
                name=entry.name,
                file_name=file_name,
                file=key if key in keys else None,
            ),
        )


async def find_clips(store: Store, text: str) -> Mapping[str, str]:
    """Return the clips that a person describes: a description of each, by fingerprint.

    Args:
        store: The archive.
        text: A clip's name, its number in the storyboard, the name of its file, or its fingerprint or the
            first digits of that; before a name or a number, the production and a slash may stand.

    Raises:
        SetupError: If there is none.
    """
    places, ledger = await Places.of(store), Ledger(store)
    found = {fingerprint: _described(place) for fingerprint, place in _matches(places, text)}
    for attempt in (attempt for history in await ledger.histories() for attempt in history):
        if _is_named(attempt, text):
            intent = attempt.intent
            found.setdefault(intent.fingerprint, f"{intent.production or 'no production'}: {intent.name}")
    if not _NUMBER.fullmatch(text):
        digits = [each for each in await ledger.fingerprints() if text and each.startswith(text)]
        found = {**dict.fromkeys(digits, "without a name"), **found}
    if not found:
        raise SetupError(
            f"There is no clip {text!r} in {store.name}; give its name, its number, or its fingerprint, as "
            "prefect-seedance ledger lists them"
        )
    return found


async def find_unresolved(store: Store, text: str) -> str:
    """Return the fingerprint of the clip that a person describes, preferably of an unresolved one.

    A number must describe one clip of the archive, because that of another production may be meant.

    Raises:
        SetupError: If there is no such clip, or several.
    """
    found = await find_clips(store, text)
    if len(found) > 1 and not _NUMBER.fullmatch(text):
        histories = await clip_histories(store, found)
        open_ones = [key for key, each in histories.items() if any(one.undecided for one in each.attempts)]
        found = {key: found[key] for key in open_ones} or found
    if len(found) == 1:
        return next(iter(found))
    listed = "; ".join(f"{key[:12]} is {name}" for key, name in sorted(found.items()))
    raise SetupError(f"{text!r} describes {len(found)} clips; give the fingerprint of one: {listed}")


def _matches(places: Places, text: str) -> Iterator[tuple[str, Place]]:
    yield from places.matching(text)
    production, slash, rest = text.partition("/")
    if slash and rest:
        yield from places.matching(rest, production=key_name(production))


def _is_named(attempt: Attempt, text: str) -> bool:
    """Return whether a text describes the clip of an attempt, also if it is in no storyboard any more."""
    intent = attempt.intent
    return _normal(text) in {_normal(intent.name), _normal(f"{intent.production}/{intent.name}")}


def _described(place: Place) -> str:
    return f"{place.production}/{place.number} {place.name}"


def _normal(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())
