"""Unpacks downloaded archives without trusting them."""

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

LIMIT = 2 << 30  # bytes that an archive may unpack to
MEMBERS = 1000
PIECE = 4 << 20  # bytes read at once; also bounds the headers that tarfile reads whole


def is_archive(path):
    """Whether a file name is one of those that `unpack_once` takes.

    PyTorch files are often called `.pth.tar`, and are no archives of files.
    """
    name = str(path)
    return name.endswith((".tar.gz", ".tgz", ".tar")) and not name.endswith((".pth.tar", ".pt.tar"))


def unpack_once(path, folder):
    """Unpacks an archive below `folder`, or finds it unpacked already.

    Only plain files and folders that stay inside are accepted, up to `LIMIT` bytes. The files are
    written to a temporary folder that takes its name, made from a hash of the archive, at the end:
    nothing half-written is ever left under that name.

    Returns:
        string, path of the folder.
    """
    path, folder = Path(path), Path(folder)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = folder / f"{path.name.partition('.tar')[0].removesuffix('.tgz')}-{digest[:16]}"
    if target.is_dir():
        return str(target)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    try:
        _unpack(path, temporary)
        try:
            os.rename(temporary, target)
        except OSError:
            if not target.is_dir():  # not another process that was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return str(target)


def _unpack(path, folder):
    opener = open if path.suffix == ".tar" else gzip.open
    try:
        with opener(path, "rb") as file, tarfile.open(fileobj=_Bounded(file), mode="r:") as tar:
            for number, member in enumerate(tar):
                if number >= MEMBERS:
                    raise ValueError(f"it has more than {MEMBERS} members")
                _unpack_member(tar, member, folder)
            while tar.fileobj.read(PIECE):  # to the end, where gzip compares its checksum
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ValueError(
            f"weights: {path} cannot be unpacked, it may be cut off or damaged ({error})."
        ) from None
    except ValueError as error:
        raise ValueError(f"weights: {path} is refused: {error}.") from None


def _unpack_member(tar, member, folder):
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name:
        raise ValueError(f"the member {member.name!r} would lie outside of its folder")
    if member.isdir():
        (folder / name).mkdir(parents=True, exist_ok=True)
        return
    if not member.isreg() or member.sparse is not None:
        raise ValueError(f"the member {member.name!r} is no plain file")
    if not 0 <= member.size <= LIMIT:
        raise ValueError(f"the member {member.name!r} has {member.size} bytes")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with tar.extractfile(member) as source, open(folder / name, "xb") as file:
        while left:
            data = source.read(min(left, PIECE))
            if not data:
                raise EOFError(f"{left} bytes of {member.name!r} are missing")
            file.write(data)
            left -= len(data)


class _Bounded:
    """A file object that gives up to `LIMIT` bytes, in pieces: no bomb fits through."""

    def __init__(self, file):
        self.file = file

    def tell(self):
        return self.file.tell()

    def seek(self, position):
        self._check(position)
        return self.file.seek(position)

    def read(self, size):
        if not 0 <= size <= PIECE:
            raise ValueError(f"it has a header of {size} bytes")
        data = self.file.read(size)
        self._check(self.file.tell())
        return data

    def _check(self, position):
        if not 0 <= position <= LIMIT:
            raise ValueError(f"it unpacks to more than {LIMIT} bytes")
