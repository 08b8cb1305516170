"""Archives: a zip of stored members, written for its owner, and read back with nothing unexpected."""

import hashlib
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..documents.files import for_owner, whole_file
from ..errors import DataError

__all__ = ["MOST_BYTES", "read_member", "unpack_members", "write_archive"]

MOST_BYTES = 64 * 2**30
"""Of all members together; a pack of a million texts has about 5 GiB."""

_MOST_MEMBERS = 10_000
_BLOCK = 2**20
_BAD = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, UnicodeError)


def write_archive(path: Path, head: tuple[str, bytes], folder: Path, names: list[str]) -> None:
    """Write a zip that only its owner may read: a first member from memory, then files of a folder.

    Raises
    ------
    ResultError
        If it cannot be written.
    """
    with (
        whole_file(path) as partial,
        open(partial, "wb", opener=for_owner) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
    ):
        archive.writestr(zipfile.ZipInfo(head[0]), head[1])
        for name in names:
            info = zipfile.ZipInfo(name)
            info.file_size = (folder / name).stat().st_size
            with open(folder / name, "rb") as source, archive.open(info, "w", force_zip64=True) as member:
                while block := source.read(_BLOCK):
                    member.write(block)


def read_member(path: Path, name: str, *, most_bytes: int) -> bytes:
    """Read one member into memory.

    Raises
    ------
    DataError
        If the file is no zip, has no such member, or more of it than that.
    """
    with _opened(path) as archive:
        infos = _infos(path, archive)
        if name not in infos or infos[name].file_size > most_bytes:
            raise DataError(f"{path}: not a pack: {name} is missing or too large")
        return archive.read(name)


def unpack_members(path: Path, folder: Path, *, head: str, sha256: Mapping[str, str], pattern: re.Pattern[str]) -> None:
    """Write the members of a zip into a folder, each for its owner only, if they are exactly what is expected.

    Parameters
    ----------
    head : str
        A member that is left where it is.
    sha256 : mapping of str to str
        By name, the hash of every other member; all must be there and no further ones.
    pattern : re.Pattern
        What a name must match as a whole: no name leads out of the folder.

    Raises
    ------
    DataError
        For a member that is unknown, missing, damaged, compressed, encrypted, a link, or given twice.
    """
    with _opened(path) as archive:
        infos = _infos(path, archive)
        infos.pop(head, None)
        if odd := sorted((set(infos) ^ set(sha256)) | {name for name in sha256 if not pattern.fullmatch(name)}):
            raise DataError(f"{path}: not a pack: {len(odd)} members missing or unknown, such as {odd[0][:80]!a}")
        for name, info in infos.items():
            target = folder / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with archive.open(info) as member, open(target, "xb", opener=for_owner) as file:
                while block := member.read(_BLOCK):
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() != sha256[name]:
                raise DataError(f"{path}: damaged: {name} is not what its manifest says (SHA-256)")


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading, whose many ways to fail are one."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        raise DataError(f"cannot unpack {path}: {error.strerror or error}") from error
    except _BAD as error:
        raise DataError(f"{path}: not a file of `auditor pack`, or a damaged one") from error


def _infos(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """List the members by name; refuse any that is not just stored bytes."""
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS or sum(info.file_size for info in infos) > MOST_BYTES:
        raise DataError(f"{path}: not a pack: more than {_MOST_MEMBERS} members or {MOST_BYTES // 2**30} GiB")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or kind not in (0, stat.S_IFREG):
            raise DataError(f"{path}: not a pack: {info.filename[:80]!a} is compressed, encrypted or no plain file")
    if len({info.filename for info in infos}) != len(infos):
        raise DataError(f"{path}: not a pack: a member stands in it twice")
    return {info.filename: info for info in infos}
