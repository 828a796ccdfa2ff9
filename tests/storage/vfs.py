"""SQLite's way to the disk (https://www.sqlite.org/vfs.html): it records what is done, or fails when it is told to."""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.storage.operations import Recorder, Sync, Truncate, Write

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_PAGE = 4096  # bytes
_IOERR_READ = 266  # SQLITE_IOERR_READ
_METHODS = ("close", "read", "write", "truncate", "sync", *(f"rest{number}" for number in range(13)))


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, version 3."""

    _fields_ = (("version", _INT), *((name, _POINTER) for name in _METHODS))


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`, version 3."""

    _fields_ = (
        ("version", _INT),
        ("file_size", _INT),
        ("longest_path", _INT),
        ("next", _POINTER),
        ("name", ctypes.c_char_p),
        ("data", _POINTER),
        ("open", _POINTER),
        ("delete", _POINTER),
        *((f"rest{number}", _POINTER) for number in range(14)),
    )


_OPEN = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_DELETE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT)
_READ = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, ctypes.c_int64)
_WRITE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _POINTER, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)


def sqlite() -> ctypes.CDLL:
    """The SQLite that Python uses."""
    return ctypes.CDLL(getattr(_sqlite3, "__file__", None))


class _Layer(ABC):
    """Calls the usual one, and is the default. Lives to the end of the process, since SQLite calls it."""

    def __init__(self, name: bytes) -> None:
        self._library = sqlite()
        self._library.sqlite3_vfs_find.restype = _POINTER
        self._usual = _Vfs.from_address(self._library.sqlite3_vfs_find(None))
        self._tables: dict[int, _Methods] = {}  # by the address of the table that each replaces
        self._callbacks: list[object] = []
        self._vfs = _Vfs.from_buffer_copy(self._usual)
        self._vfs.name, self._vfs.next = name, None
        self._vfs.open = self._pointer(_OPEN(self._open))
        self._vfs.delete = self._pointer(_DELETE(self._delete))
        _alive.append(self)
        assert 0 == self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)

    def _pointer(self, callback: Any) -> Any:
        self._callbacks.append(callback)
        return ctypes.cast(callback, _POINTER)

    def _open(self, _: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        code: int = _OPEN(self._usual.open)(ctypes.addressof(self._usual), name, file, flags, out)
        if code == 0 and name and self._opened(ctypes.string_at(name), file):
            methods = _POINTER.from_address(file)
            assert methods.value is not None
            if methods.value not in self._tables:
                usual = _Methods.from_address(methods.value)
                self._tables[methods.value] = _Methods.from_buffer_copy(usual)
                self._replace(self._tables[methods.value], usual)
            methods.value = ctypes.addressof(self._tables[methods.value])
        return code

    @abstractmethod
    def _opened(self, path: bytes, file: int) -> bool:
        """Whether this file, which has an object of SQLite at `file`, has other methods than the usual ones."""

    @abstractmethod
    def _replace(self, made: _Methods, usual: _Methods) -> None:
        """Give `made`, which is as `usual`, other methods."""

    def _delete(self, _: int, name: int, sync: int) -> int:
        code: int = _DELETE(self._usual.delete)(ctypes.addressof(self._usual), name, sync)
        return code


class FailingVfs(_Layer):
    """The disk below an index, which fails as often as it is told. The default until `end`."""

    def __init__(self) -> None:
        super().__init__(b"failing")
        self.reads = 0  # of the database, behind its first page, that fail from now on
        self.writes = 0  # to its log, for which there is no room
        self._paths: dict[int, bytes] = {}

    def end(self) -> None:
        """New databases have the usual one again."""
        assert 0 == self._library.sqlite3_vfs_register(ctypes.byref(self._usual), 1)

    def _opened(self, path: bytes, file: int) -> bool:
        self._paths[file] = path
        return path.endswith((b"cache.db", b"cache.db-wal"))

    def _replace(self, made: _Methods, usual: _Methods) -> None:
        made.read = self._pointer(_READ(partial(self._read, _READ(usual.read))))
        made.write = self._pointer(_WRITE(partial(self._write, _WRITE(usual.write))))

    def _read(self, usual: Callable[..., int], file: int, data: int, size: int, offset: int) -> int:
        if self.reads and offset >= _PAGE and self._paths[file].endswith(b".db"):
            self.reads -= 1
            return _IOERR_READ
        return usual(file, data, size, offset)

    def _write(self, usual: Callable[..., int], file: int, data: int, size: int, offset: int) -> int:
        if self.writes and self._paths[file].endswith(b"-wal"):
            self.writes -= 1
            return sqlite3.SQLITE_FULL
        return usual(file, data, size, offset)


class RecordedVfs(_Layer):
    """Records what is done to files."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._files: dict[int, int] = {}  # by the address of SQLite's own object
        super().__init__(b"recorded")

    def _open(self, _: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        with self._recorder.lock:
            self._files.pop(file, None)
            return super()._open(_, name, file, flags, out)

    def _opened(self, path: bytes, file: int) -> bool:
        name = self._recorder.inside(path)
        if name is not None:
            self._files[file] = self._recorder.opened(name)
        return name is not None

    def _replace(self, made: _Methods, usual: _Methods) -> None:
        made.write = self._pointer(_WRITE(partial(self._write, _WRITE(usual.write))))
        made.truncate = self._pointer(_TRUNCATE(partial(self._truncate, _TRUNCATE(usual.truncate))))
        made.sync = self._pointer(_SYNC(partial(self._sync, _SYNC(usual.sync))))

    def _delete(self, _: int, name: int, sync: int) -> int:
        with self._recorder.lock:
            code = super()._delete(_, name, sync)
            path = self._recorder.inside(ctypes.string_at(name))
            if code == 0 and path is not None:
                self._recorder.unlinked(path)
            return code

    def _write(self, usual: Callable[..., int], file: int, data: int, size: int, offset: int) -> int:
        with self._recorder.lock:
            code = usual(file, data, size, offset)
            if code == 0:
                self._recorder.add(Write(self._files[file], offset, ctypes.string_at(data, size)))
            return code

    def _truncate(self, usual: Callable[..., int], file: int, size: int) -> int:
        with self._recorder.lock:
            code = usual(file, size)
            if code == 0:
                self._recorder.add(Truncate(self._files[file], size))
            return code

    def _sync(self, usual: Callable[..., int], file: int, flags: int) -> int:
        with self._recorder.lock:
            code = usual(file, flags)
            if code == 0:
                self._recorder.add(Sync(self._files[file]))
            return code


_alive: list[_Layer] = []
