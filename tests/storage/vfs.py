"""SQLite's way to the disk (https://www.sqlite.org/vfs.html): it records what is done, and calls the usual one."""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.storage.operations import Recorder, Sync, Truncate, Write

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
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
_WRITE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _POINTER, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)


def sqlite() -> ctypes.CDLL:
    """The SQLite that Python uses."""
    return ctypes.CDLL(getattr(_sqlite3, "__file__", None))


class RecordedVfs:
    """Registers itself as the default. Lives to the end of the process, since SQLite calls it."""

    def __init__(self, recorder: Recorder) -> None:
        library = sqlite()
        library.sqlite3_vfs_find.restype = _POINTER
        self._recorder = recorder
        self._usual = _Vfs.from_address(library.sqlite3_vfs_find(None))
        self._files: dict[int, int] = {}  # by the address of SQLite's own object
        self._tables: dict[int, _Methods] = {}  # by the address of the table that each replaces
        self._callbacks: list[object] = []
        self._vfs = _Vfs.from_buffer_copy(self._usual)
        self._vfs.name, self._vfs.next = b"recorded", None
        self._vfs.open = self._pointer(_OPEN(self._open))
        self._vfs.delete = self._pointer(_DELETE(self._delete))
        _alive.append(self)
        assert 0 == library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)

    def _pointer(self, callback: Any) -> Any:
        self._callbacks.append(callback)
        return ctypes.cast(callback, _POINTER)

    def _open(self, _: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        with self._recorder.lock:
            self._files.pop(file, None)
            code: int = _OPEN(self._usual.open)(ctypes.addressof(self._usual), name, file, flags, out)
            path = self._recorder.inside(ctypes.string_at(name)) if name else None
            if code == 0 and path is not None:
                self._files[file] = self._recorder.opened(path)
                methods = _POINTER.from_address(file)
                assert methods.value is not None
                methods.value = ctypes.addressof(self._table(methods.value))
            return code

    def _delete(self, _: int, name: int, sync: int) -> int:
        with self._recorder.lock:
            code: int = _DELETE(self._usual.delete)(ctypes.addressof(self._usual), name, sync)
            path = self._recorder.inside(ctypes.string_at(name))
            if code == 0 and path is not None:
                self._recorder.unlinked(path)
            return code

    def _table(self, address: int) -> _Methods:
        """The same methods, but for those that change a file."""
        if address not in self._tables:
            usual = _Methods.from_address(address)
            made = self._tables[address] = _Methods.from_buffer_copy(usual)
            made.write = self._pointer(_WRITE(partial(self._write, _WRITE(usual.write))))
            made.truncate = self._pointer(_TRUNCATE(partial(self._truncate, _TRUNCATE(usual.truncate))))
            made.sync = self._pointer(_SYNC(partial(self._sync, _SYNC(usual.sync))))
        return self._tables[address]

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


_alive: list[RecordedVfs] = []
