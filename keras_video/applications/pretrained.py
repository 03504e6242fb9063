"""Where pretrained weights come from, how they are fetched, and what may be passed as `weights`.

Unpacks downloaded archives without trusting them.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
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


CACHE_SUBDIR = os.path.join("models", "keras_video")


@dataclass(frozen=True)
class WeightsRecord:
    """One published set of weights.

    Args:
        name: string, the data set, for example `"kinetics600"`.
        variant: string, for example `"base"` or `"stream"`.
        url: string, where the file is published, or `None` for a file shipped with the package.
        file: string, path of a shipped file relative to the package, or `None`.
        page: string, a web page with a file that only a person can download, instead of both.
        cached_as: string, name of the downloaded file. Default: the last part of the url.
        sha256: string, or `None` where the hash is not known. The hashes of the official MoViNet
            archives were not known when these records were written: such a file is trusted only as
            far as its structure, checksums, names and shapes go.
        classes: int, outputs of the classifier.
        labels: string, file in the package with one class name per line.
        frames, size, frame_rate, resize_side: the clip that the metric was measured on: number of
            frames, `(height, width)`, frames per second, smaller side before the centre crop.
        frame_stride: int, every how many frames of the video one is taken, where that and not a
            frame rate was published.
        sampling: string, the rule of `keras_video.data` by which its frames are chosen, or `None`
            for consecutive frames.
        mean, std: tuples, subtracted from and divided out of pixels in [0, 1], or `None` for
            neither. Networks with their preprocessing inside do it themselves.
        top1, top5: floats, accuracy in percent, or `None`.
        source: string, where the metric was published or how it was measured.
    """

    name: str
    variant: str
    url: str | None = None
    file: str | None = None
    page: str | None = None
    cached_as: str | None = None
    sha256: str | None = None
    classes: int | None = None
    labels: str | None = None
    frames: int | None = None
    size: tuple | None = None
    frame_rate: float | None = None
    resize_side: int | None = None
    frame_stride: int | None = None
    sampling: str | None = None
    mean: tuple | None = None
    std: tuple | None = None
    top1: float | None = None
    top5: float | None = None
    source: str = ""

    def __post_init__(self):
        if [self.url, self.file, self.page].count(None) != 2:
            raise ValueError(
                f"Expected a url or a file, or a page, in the record {self.name!r}, got {self}."
            )

    @property
    def cached_name(self):
        """string, name of the downloaded file."""
        return self.cached_as or self.url.rsplit("/", 1)[-1].partition("?")[0]


def fetch(record):
    """Downloads the file of a record once, and returns its path.

    Files lie in `models/keras_video` below the Keras home (`~/.keras`, or the environment variable
    `KERAS_HOME`). One put there by hand is used as if it had been downloaded. Archives are
    unpacked below `unpacked` there.

    Args:
        record: `WeightsRecord`.

    Returns:
        string, path of a file, or of a folder for an archive. `resolve_checkpoint` accepts either.

    Raises:
        RuntimeError: if the file could not be downloaded, or only by hand; says where to put it.
    """
    if record.file is not None:
        path = Path(__file__).parents[1] / record.file
        if not path.is_file():
            raise ValueError(f"weights: expected the file {path} in the package; it is missing.")
        return str(path)

    name = record.cached_name
    target = _cache() / name
    there = target.is_file()
    if record.page is not None:
        if there:
            return str(target)
        raise RuntimeError(
            f"weights: {name} has to be downloaded by hand. Open {record.page} and put the file at "
            f"{target}, under this very name."
        )

    import keras

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path = keras.utils.get_file(
            fname=name,
            origin=record.url,
            cache_dir=str(_home()),
            cache_subdir=CACHE_SUBDIR,
            file_hash=record.sha256,
            hash_algorithm="sha256",
        )
    except Exception as error:  # get_file raises plain exceptions
        if not there:
            target.unlink(missing_ok=True)
        raise RuntimeError(
            f"weights: could not get {record.url} ({error}). To do without a network, put the "
            f"file at {target}."
        ) from error
    if not is_archive(path):
        return str(path)
    try:
        return unpack_once(path, _cache() / "unpacked")
    except ValueError as error:
        if there:
            raise ValueError(f"{error} Replace it by a whole copy of {record.url}.") from None
        Path(path).unlink()
        raise ValueError(f"{error} The download from {record.url} was removed.") from None


def resolve_checkpoint(path):
    """Finds the weights to read in what a user passes as `weights`.

    Args:
        path: a checkpoint prefix (with or without `.index`), a folder with a checkpoint (its
            `checkpoint` text file says which; else it must be the only one), a SavedModel folder,
            a folder that holds only one of these, or a `.tar.gz` of any of them. A file of another
            kind is returned as it is.

    Returns:
        string, a prefix for `converters.tf_bundle.Checkpoint`, or the path of a file.
    """
    path = Path(path).expanduser()
    if path.is_file():
        if is_archive(path):
            return _resolve_folder(Path(unpack_once(path, _cache() / "unpacked")))
        prefix, dot, extension = str(path).rpartition(".")
        is_part = dot and (extension == "index" or extension.startswith("data-"))
        return prefix if is_part and Path(f"{prefix}.index").is_file() else str(path)
    if Path(f"{path}.index").is_file():
        return str(path)
    if path.is_dir():
        return _resolve_folder(path)
    raise ValueError(
        f"weights: expected a file, a folder or a checkpoint prefix, got {str(path)!r}, "
        "which does not exist."
    )


def _resolve_folder(folder):
    for _ in range(4):  # archives often wrap everything in a folder of their own
        if (folder / "checkpoint").is_file():
            return _latest_checkpoint(folder)
        indices = sorted(folder.glob("[!.]*.index"))
        if len(indices) == 1:
            return str(indices[0])[: -len(".index")]
        if indices:
            names = [index.name for index in indices]
            raise ValueError(
                f"weights: expected one checkpoint in {folder}, got {names}; pass the path of one."
            )
        if (folder / "variables" / "variables.index").is_file():
            return str(folder / "variables" / "variables")
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        if len(entries) != 1 or not entries[0].is_dir():
            break
        folder = entries[0]
    names = sorted(entry.name for entry in folder.iterdir())
    raise ValueError(
        f"weights: expected a checkpoint (*.index) or a SavedModel in {folder}, got {names[:10]}."
    )


def _latest_checkpoint(folder):
    """The prefix named by the `checkpoint` text file, which must stay inside the folder."""
    text = (folder / "checkpoint").read_text("utf-8", "replace")
    lines = [line.partition(":") for line in text.splitlines()]
    names = [value.strip() for key, _, value in lines if key.strip() == "model_checkpoint_path"]
    if len(names) != 1 or len(names[0]) < 3 or names[0][0] != names[0][-1] != '"':
        raise ValueError(
            f'weights: expected one line model_checkpoint_path: "..." in {folder / "checkpoint"}.'
        )
    name = names[0][1:-1]
    prefix = (folder / name).resolve()
    if not prefix.is_relative_to(folder.resolve()):
        raise ValueError(
            f"weights: {folder / 'checkpoint'} points outside of its folder, to {name!r}; "
            "pass the prefix of the checkpoint itself."
        )
    if not Path(f"{prefix}.index").is_file():
        raise ValueError(f"weights: {folder / 'checkpoint'} names {name!r}, which is not there.")
    return str(prefix)


def converted_path(record):
    """Where the weights of a downloaded record lie once they are converted."""
    return _cache() / "converted" / f"{record.cached_name.partition('.')[0]}.npz"


def _home():
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def _cache():
    return _home() / CACHE_SUBDIR
