"""What `setup` changed on this machine, recorded so that all of it can be taken back, byte for byte.

The record is a file of this user. A change is recorded before it is made, so one that was cut off is known, too. Files
are replaced at once, by a new file beside them; a link to a file stays a link. Called by `setup`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from proxy.builds.reach import RememberedAddresses
from proxy.errors import PullthroughError

_FILE = "setup.json"


class RecordUnreadable(PullthroughError):
    """The record of changes is there and cannot be used: nothing is changed on top of it."""


class FileChange(msgspec.Struct):
    """A file that was written. `before`: its bytes in base64, None if there was none; `after`: the sha256 of ours.

    `earlier`: the sha256 of what we had put there before that, which is still there after a cut-off in between.
    `kind` and `lines`: what the file is and what we put there, for whoever takes that out of a file that somebody else
    has changed since.
    """

    path: str
    kind: str
    lines: str
    before: str | None
    mode: int
    after: str
    earlier: str = ""

    def is_ours(self, content: bytes) -> bool:
        """Whether the file has what we wrote."""
        return _digest(content) in (self.after, self.earlier)

    def original(self) -> bytes | None:
        """The bytes that were there before; None if there was no file."""
        return None if self.before is None else base64.b64decode(self.before)


class _Recorded(msgspec.Struct):
    files: list[FileChange] = []
    folders: list[str] = []  # in the order in which they were made
    notes: dict[str, str] = {}  # what else was begun, such as the unit that runs


@dataclass(slots=True)
class Changes:
    """The record, and the hand that changes things. `path`: of the record. Methods raise OSError."""

    path: Path
    _record: _Recorded = field(default_factory=_Recorded)

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Changes:
        """The record of this user, beside the addresses that are remembered. Raises RecordUnreadable."""
        return cls.load(RememberedAddresses.of_user(environ).path.with_name(_FILE))

    @classmethod
    def load(cls, path: Path) -> Changes:
        """Read the record; an empty one if there is none. Raises RecordUnreadable."""
        try:
            return cls(path, msgspec.json.decode(path.read_bytes(), type=_Recorded))
        except FileNotFoundError:
            return cls(path)
        except (OSError, msgspec.MsgspecError) as error:
            raise RecordUnreadable(
                f"{path} says what setup has changed, and cannot be read ({error}). Mend it, or delete it: then what "
                "setup changed before stays as it is."
            ) from None

    @property
    def notes(self) -> Mapping[str, str]:
        """What else was begun, by name."""
        return self._record.notes

    @property
    def files(self) -> tuple[FileChange, ...]:
        """The files that were written."""
        return tuple(self._record.files)

    def lines(self, kind: str) -> str:
        """What was put into the file of this kind; empty if there is none."""
        return next((one.lines for one in self._record.files if one.kind == kind), "")

    def note(self, name: str, value: str | None) -> None:
        """Record something that was begun; None: it is over."""
        if self._record.notes.get(name) == value:
            return
        self._record.notes.pop(name, None)
        if value is not None:
            self._record.notes[name] = value
        self._save()

    def original(self, path: Path) -> bytes | None:
        """What a file has without our change; None if there is none."""
        path, now = _real(path), _read(path)
        known = self._find(path)
        return known.original() if known is not None and now is not None and known.is_ours(now) else now

    def recorded(self, path: Path) -> FileChange | None:
        """What is known of a file's change; None if it was not changed."""
        return self._find(_real(path))

    def write(self, path: Path, content: bytes, kind: str, lines: str = "", mode: int = 0o644) -> bool:
        """Have a file with this content; False if it was so already. `mode`: of a new file."""
        path = _real(path)
        now = _read(path)
        if now == content:
            return False
        before = self.original(path)
        if now is not None:
            mode = stat.S_IMODE(path.stat().st_mode)
        known = self._find(path)
        if known is not None:
            self._record.files.remove(known)
        if before != content:
            encoded = None if before is None else base64.b64encode(before).decode()
            earlier = "" if now is None or now == before else _digest(now)
            self._record.files.append(FileChange(str(path), kind, lines, encoded, mode, _digest(content), earlier))
        if before == content:  # nothing of ours is there afterwards, and not before
            _replace(path, content, mode)
            self._save()
            return True
        self.make_folder(path.parent)
        self._save()
        _replace(path, content, mode)
        return True

    def make_folder(self, path: Path, mode: int = 0o755) -> bool:
        """Have a folder, and those above it; False if it was there. A folder that is not made here is not recorded."""
        missing = [path, *path.parents]
        missing = missing[: next(number for number, one in enumerate(missing) if one.exists())]
        for one in reversed(missing):
            self._record.folders.append(str(one))
        if missing:
            self._save()
        for one in reversed(missing):
            one.mkdir(mode)
        return bool(missing)

    def made(self, path: Path) -> bool:
        """Whether this folder was made here."""
        return str(path) in self._record.folders

    def take_back(self, one: FileChange) -> bool:
        """Restore a file, byte for byte; False if somebody has changed it since: then it stays as it is, recorded."""
        path, now = Path(one.path), _read(Path(one.path))
        before = one.original()
        if now is not None and now != before:
            if not one.is_ours(now):
                return False
            if before is None:
                path.unlink()
            else:
                _replace(path, before, one.mode)
        self.drop(one)
        return True

    def leave(self, one: FileChange, content: bytes) -> None:
        """Have in a file that others have changed since only `content`, which is theirs, and know nothing of it."""
        path = Path(one.path)
        if _read(path) != content:
            _replace(path, content, stat.S_IMODE(path.stat().st_mode))
        self.drop(one)

    def drop(self, one: FileChange) -> None:
        """Know nothing of a file's change any more."""
        self._record.files.remove(one)
        self._save()

    def remove_folders(self) -> list[Path]:
        """Remove the folders that were made here, and the record; gives those that are left since they have contents.

        Nothing is recorded afterwards.
        """
        folders = [*map(Path, self._record.folders)]
        self.path.unlink(missing_ok=True)
        self._record = _Recorded()
        left = []
        for folder in reversed(folders):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                left.append(folder)
        return left

    def _find(self, path: Path) -> FileChange | None:
        return next((one for one in self._record.files if one.path == str(path)), None)

    def _save(self) -> None:
        missing = [one for one in (self.path.parent, *self.path.parent.parents) if not one.exists()]
        # Folders of the record come first in the list, outermost first: they are removed last.
        folders = [*self._record.folders, *(str(one) for one in missing)]
        first = sorted((one for one in folders if self.path.is_relative_to(one)), key=len)
        self._record.folders = [*first, *(one for one in folders if one not in first)]
        try:
            for one in reversed(missing):
                one.mkdir()
            _replace(self.path, msgspec.json.format(msgspec.json.encode(self._record), indent=1) + b"\n", 0o600)
        except BaseException:
            for one in missing:  # nobody knows of them
                with contextlib.suppress(OSError):
                    one.rmdir()
            raise


def _real(path: Path) -> Path:
    """The file itself, where the path is a link to it, as those who keep their settings elsewhere have it."""
    return path.resolve()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes, mode: int) -> None:
    with _beside(path) as fresh:
        with open(fresh, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(mode)
        fresh.replace(path)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name for a new file beside another one; nothing is left under it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)
