"""Pretrained weights: what is published, how it is fetched, and how `weights` arguments are read.

`WeightsRecord` describes one published set of weights, `fetch` downloads it once, `fetch_from_hub`
downloads files of other people from the Hugging Face Hub, and `read_weights` turns a name, a path
or such an address into arrays under the names of this library. No Keras here.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from keras_video import __version__
from keras_video.checkpoints import weight_map
from keras_video.checks import missing_extra

PACKAGE = Path(__file__).parents[1]
LABELS = PACKAGE / "applications" / "movinet" / "files"
CACHE_SUBDIR = os.path.join("models", "keras_video")

# Limits of an archive that is unpacked.
LIMIT = 2 << 30  # bytes that an archive may unpack to
MEMBERS = 1000
PIECE = 4 << 20  # bytes read at once; also bounds the headers that tarfile reads whole

HUB = "hf://"
OWN_FILES = (".keras", ".weights.h5", ".npz")  # of this library; reading them executes nothing


@dataclass(frozen=True)
class WeightsRecord:
    """One published set of weights.

    Args:
        name: string, the data set, for example `"kinetics600"`.
        variant: string, for example `"base"` or `"stream"`.
        url: string, where the file is published.
        file: string, instead of `url`: path of a file in the package, relative to the package.
        page: string, instead of `url`: a web page from which the file must be downloaded by hand.
        cached_as: string, name of the downloaded file. Default: the last part of the url.
        sha256: string, or `None` if the hash is not known, as for the official MoViNet archives.
            Such files are accepted if their structure, checksums, names and shapes are correct.
        classes: int, outputs of the classifier.
        labels: string, file in the package with one class name per line.
        frames, size, frame_rate, resize_side: the clip that the accuracy was measured on: number
            of frames, `(height, width)`, frames per second, smaller side before the centre crop.
        frame_stride: int, step between sampled frames, if that was published instead of a frame
            rate.
        sampling: string, the sampling rule of `keras_video.data`, or `None` for consecutive
            frames.
        mean, std: tuples for pixels in [0, 1], which become `(x - mean) / std`; `None` for no
            normalisation. Models with `include_preprocessing=True` normalise themselves.
        top1, top5: floats, accuracy in percent, or `None`.
        source: string, where the accuracy was published or how it was measured.
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
            raise ValueError(f"url: expected one of url, file and page, got {self}.")

    @property
    def cached_name(self):
        """string, the name of the downloaded file."""
        return self.cached_as or self.url.rsplit("/", 1)[-1].partition("?")[0]


def find_record(records, name, weights, variant="base"):
    """Return the record of published weights.

    Args:
        records: dict, model name to `{(weights, variant): WeightsRecord}`.
        name: string, the model, for example `"movinet_a0"`.
        weights: string, for example `"kinetics600"`.
        variant: string, `"base"` or `"stream"`.

    Raises:
        ValueError: if there are no such weights; lists those that exist.
    """
    known = records.get(name, {})
    if (weights, variant) in known:
        return known[weights, variant]
    listed = ", ".join(repr(w) for w, v in known if v == variant)
    expected = f"an existing path or one of {listed}" if listed else "an existing path"
    hint = "" if listed else " No weights are published."
    model = name if variant == "base" else f"the {variant} variant of {name}"
    raise ValueError(f"weights: expected {expected} for {model}, got {weights!r}.{hint}")


def labels(record):
    """Return the class names of published weights, in the order of the outputs.

    Args:
        record: `WeightsRecord`, or the name of a data set whose class names come with the library:
            `"kinetics400"`, `"kinetics600"` or `"moving_digits"`.

    Raises:
        ValueError: if the class names are not known.
    """
    name = getattr(record, "name", record)
    if isinstance(record, WeightsRecord):
        path = PACKAGE / (record.labels or "missing")
    else:
        path = LABELS / f"{name}_labels.txt"
    if not path.is_file():
        known = sorted(p.name.removesuffix("_labels.txt") for p in LABELS.glob("*_labels.txt"))
        raise ValueError(f"labels: expected weights of one of {known}, got {name!r}.")
    return path.read_text("utf-8").splitlines()


def _home():
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def _cache():
    return _home() / CACHE_SUBDIR


def is_archive(path):
    """Return whether a file name is that of an archive that `unpack_once` can read.

    PyTorch files are often called `.pth.tar` although they are not archives.
    """
    name = str(path)
    return name.endswith((".tar.gz", ".tgz", ".tar")) and not name.endswith((".pth.tar", ".pt.tar"))


def unpack_once(path, folder):
    """Unpack an archive below `folder`, unless this was done before.

    Only plain files and folders that stay inside are accepted, up to `LIMIT` bytes. The files are
    written to a temporary folder, which is renamed when it is complete. Its name contains a hash
    of the archive.

    Returns:
        String, the path of the folder.
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
            if not target.is_dir():  # else another process has unpacked it meanwhile
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
            while tar.fileobj.read(PIECE):  # gzip checks its checksum at the end
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ValueError(
            f"weights: expected a complete archive, got {path}, which is damaged ({error})."
        ) from None
    except ValueError as error:
        raise ValueError(f"weights: expected a safe archive, got {path}: {error}.") from None


def _unpack_member(tar, member, folder):
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name:
        raise ValueError(f"the member {member.name!r} would be written outside of its folder")
    if member.isdir():
        (folder / name).mkdir(parents=True, exist_ok=True)
        return
    if not member.isreg() or member.sparse is not None:
        raise ValueError(f"the member {member.name!r} is not a plain file")
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
    """A file object that returns at most `LIMIT` bytes: protects against archive bombs."""

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


def fetch(record):
    """Download the file of a record, unless this was done before, and return its path.

    Files are stored in `models/keras_video` below the Keras home (`~/.keras`, or the environment
    variable `KERAS_HOME`). A file that was put there by hand is used as well. Archives are
    unpacked into the folder `unpacked` there.

    Args:
        record: `WeightsRecord`.

    Returns:
        String, the path of a file, or of a folder for an archive. `resolve_checkpoint` accepts
        both.

    Raises:
        RuntimeError: if the file cannot be downloaded; says where to put it by hand.
    """
    if record.file is not None:
        path = PACKAGE / record.file
        if not path.is_file():
            raise ValueError(f"weights: expected the file {path} of the package, got none.")
        return str(path)

    name = record.cached_name
    target = _cache() / name
    there = target.is_file()
    if record.page is not None:
        if there:
            return str(target)
        raise RuntimeError(
            f"weights: {name} must be downloaded by hand. Open {record.page} and save the file as "
            f"{target}."
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
            f"weights: could not download {record.url} ({error}). Without internet access, save "
            f"the file as {target}."
        ) from error
    if not is_archive(path):
        return str(path)
    try:
        return unpack_once(path, _cache() / "unpacked")
    except ValueError as error:
        if there:
            raise ValueError(f"{error} Replace it by a complete copy of {record.url}.") from None
        Path(path).unlink()
        raise ValueError(f"{error} The download from {record.url} was removed.") from None


class HubAddress(NamedTuple):
    """A repository of the Hugging Face Hub, or a file in it: `hf://owner/name@revision/file`.

    Args:
        repository: string, `"owner/name"`.
        revision: string, a branch, tag or commit, or `None` for the main branch.
        file: string, path in the repository, or `None`.
    """

    repository: str
    revision: str | None = None
    file: str | None = None


def is_hub_address(address):
    """Return whether a `weights` argument is an address such as `"hf://owner/name"`."""
    return isinstance(address, str) and address.startswith(HUB)


def parse_hub_address(argument, address):
    """Return the `HubAddress` of `"hf://owner/name"`; revision and file may follow.

    Args:
        argument: string, for the error.
        address: string.
    """
    name = "[A-Za-z0-9][A-Za-z0-9._-]*"
    pattern = f"{HUB}({name}/{name})(?:@(refs/pr/[0-9]+|[^/@]+))?(?:/([^@]+))?"
    match = re.fullmatch(pattern, address) if isinstance(address, str) else None
    parts = match[3].split("/") if match and match[3] else ()
    if not match or any(part in ("", ".", "..") or set(part) & set("\\:") for part in parts):
        raise ValueError(
            f"{argument}: expected hf://owner/name, hf://owner/name/file or "
            f"hf://owner/name@revision/file, got {address!r}."
        )
    return HubAddress(match[1], match[2] and unquote(match[2]), match[3])


def hub_api(token=None, endpoint=None):
    """Return the `huggingface_hub.HfApi` for a token and a server.

    Args:
        token: string. Default: the environment variable `HF_TOKEN`, else that of `hf auth login`.
        endpoint: string, url of the server. Default: the environment variable `HF_ENDPOINT`, else
            the public one.

    Raises:
        ImportError: if huggingface_hub is missing.
        ValueError: for other arguments.
    """
    if not (token is None or isinstance(token, str) and token.strip()):
        raise ValueError(f"token: expected a string or None, got {type(token).__name__}.")
    if not (endpoint is None or re.match("https?://[^/]", str(endpoint))):
        raise ValueError(f"endpoint: expected a url such as https://host, got {endpoint!r}.")
    try:
        import huggingface_hub
    except ImportError as error:
        raise missing_extra("Addresses hf://... need huggingface_hub.", "hub") from error
    endpoint = endpoint or os.environ.get("HF_ENDPOINT") or None
    return huggingface_hub.HfApi(
        endpoint=endpoint and endpoint.rstrip("/"),
        token=token,
        library_name="keras_video",
        library_version=__version__,
    )


def fetch_from_hub(argument, address, suffixes=OWN_FILES, token=None, endpoint=None):
    """Download a file of a repository on the Hugging Face Hub, unless it is in the cache.

    The cache is that of huggingface_hub (`HF_HOME`). Without a connection, its files are used. The
    content is compared with the hash that the server published, if the cache records it, which it
    does where symbolic links are possible. A file with another content is removed.

    Args:
        argument: string, for errors.
        address: string, see `parse_hub_address`. Without a file, the repository must have one with
            a fitting name, or one called `model.keras`.
        suffixes: tuple of strings, endings of the names that are accepted. Nothing else is
            downloaded, in particular no pickle.
        token, endpoint: see `hub_api`.

    Returns:
        String, the path of the file.

    Raises:
        ValueError: for a wrong address, and if there is no such repository, revision or file.
        RuntimeError: if the token is refused, or the file cannot be downloaded whole.
    """
    where = parse_hub_address(argument, address)
    file = where.file
    if file is not None and not file.endswith(suffixes):
        raise ValueError(
            f"{argument}: expected a file {_one_of(suffixes)}, got {address!r}. Other files are "
            "not loaded from the Hub, because some kinds can execute code."
        )
    api = hub_api(token, endpoint)
    with hub_errors(argument, where, api):
        names = _hub_files(api, where) if file is None else None
    if file is None:
        file = _choose_file(argument, address, names, suffixes)
    with hub_errors(argument, where._replace(file=file), api):
        path = api.hf_hub_download(where.repository, file, revision=where.revision)
    _check_hub_hash(argument, address, path)
    return path


@contextlib.contextmanager
def hub_errors(argument, where, api):
    """Turn errors of huggingface_hub and of its HTTP package into one sentence each.

    Args:
        argument: string, for the error.
        where: `HubAddress`.
        api: `huggingface_hub.HfApi`.

    Raises:
        ValueError: if there is no such repository, revision or file.
        RuntimeError: for everything else.
    """
    try:
        yield
    except Exception as error:  # many kinds, also of the HTTP package, which differs by version
        kind, text = _hub_problem(error, where, api)
        raise kind(f"{argument}: {text}") from error


def _hub_problem(error, where, api):
    """Return the class and the text of the error that is raised for one of huggingface_hub."""
    from huggingface_hub import errors, get_token

    repository, server = where.repository, api.endpoint
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.RevisionNotFoundError):
        return ValueError, f"expected a revision of {repository}, got {where.revision!r}."
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return ValueError, f"expected a file of {repository}, got {where.file!r}."
    if isinstance(error, errors.GatedRepoError):
        return RuntimeError, f"ask for access to {repository} at {server}/{repository} first."
    if status == 401 and (api.token or get_token()):
        return RuntimeError, f"{server} refused the token, or has no repository {repository}."
    if status == 401:
        return RuntimeError, (
            f"{server} needs a token for {repository}, or has no such repository. Log in with "
            "`hf auth login`, or set HF_TOKEN."
        )
    if status == 403:
        return RuntimeError, f"the token does not permit this in {repository}."
    if status == 404:
        return ValueError, f"expected a repository of {server}, got {repository!r}."
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return RuntimeError, f"no complete answer from {server} for {repository} ({reason})."


def _hub_files(api, where):
    """Return the names of the files of a repository, without a connection those in the cache."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        siblings = api.model_info(where.repository, revision=where.revision).siblings
        return [sibling.rfilename for sibling in siblings or ()]
    except errors.HfHubHTTPError:
        raise
    except Exception:  # no connection, or HF_HUB_OFFLINE=1
        try:
            folder = huggingface_hub.snapshot_download(
                where.repository, revision=where.revision, local_files_only=True
            )
        except FileNotFoundError:
            folder = None
        if folder is None:
            raise
        files = (path for path in Path(folder).rglob("*") if path.is_file())
        return [path.relative_to(folder).as_posix() for path in files]


def _choose_file(argument, address, names, suffixes):
    fitting = sorted(name for name in names if name.endswith(suffixes))
    if "model.keras" in fitting:
        return "model.keras"
    if len(fitting) != 1:
        got = f"{weight_map.shorten(fitting)}. Add /FILE" if fitting else f"none in {address}"
        raise ValueError(
            f"{argument}: expected one file {_one_of(suffixes)} in the repository, got {got}."
        )
    return fitting[0]


def _one_of(suffixes):
    return " or ".join(f"*{suffix}" for suffix in suffixes)


def _check_hub_hash(argument, address, path):
    """Remove a file whose content is not that of its hash.

    The link in the cache points to a file that is named after the hash: SHA-256 of large files,
    else SHA-1 as git computes it.
    """
    if not os.path.islink(path):
        return
    blob = Path(path).parent / os.readlink(path)
    kind = {64: "sha256", 40: "sha1"}.get(len(blob.name))
    if kind is None or set(blob.name) - set("0123456789abcdef"):
        return
    digest = hashlib.new(kind)
    with open(path, "rb") as file:
        if kind == "sha1":
            digest.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while data := file.read(PIECE):
            digest.update(data)
    if digest.hexdigest() == blob.name:
        return
    os.unlink(path)
    blob.unlink(missing_ok=True)
    raise RuntimeError(
        f"{argument}: expected a file with the hash {blob.name[:12]}... for {address}, got "
        f"{digest.hexdigest()[:12]}.... The damaged file was removed, try again."
    )


def resolve_checkpoint(path):
    """Return the checkpoint or file that a path stands for.

    Args:
        path: a checkpoint prefix (with or without `.index`); a folder with a checkpoint, which is
            either named in its `checkpoint` text file or the only one; a SavedModel folder; a
            folder that contains only one of these; or a `.tar.gz` archive of any of them. Other
            files are returned unchanged.

    Returns:
        String, a prefix for `checkpoints.tensorflow.Checkpoint`, or the path of a file.
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
    for _ in range(4):  # archives often contain one outer folder
        if (folder / "checkpoint").is_file():
            return _latest_checkpoint(folder)
        indices = sorted(folder.glob("[!.]*.index"))
        if len(indices) == 1:
            return str(indices[0])[: -len(".index")]
        if indices:
            names = [index.name for index in indices]
            raise ValueError(
                f"weights: expected one checkpoint in {folder}, got {names}. Pass the path of one."
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
    """Return the prefix that the `checkpoint` text file names; it must be inside the folder."""
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
            f"weights: expected {folder / 'checkpoint'} to name a checkpoint in its folder, got "
            f"{name!r}. Pass the prefix of the checkpoint itself."
        )
    if not Path(f"{prefix}.index").is_file():
        raise ValueError(
            f"weights: expected the checkpoint {name!r}, as {folder / 'checkpoint'} says, got none."
        )
    return str(prefix)


class Source(NamedTuple):
    """Weights that were read, before they are copied into a model.

    Args:
        label: string, the name or path, for messages.
        classes: int, outputs of their classifier, or `None` without one.
        named: dict of variable names of this library to arrays, or `None` for a Keras file.
        path: string, that Keras file.
        lacking: tuple of pairs `(pattern, description)`: names that `named` does not have and that
            keep their initial values.
        record: `WeightsRecord` of published weights, else `None`.
        info: dict, what the model in a `.keras` file knows, else `None`.
    """

    label: str
    classes: int | None
    named: dict | None = None
    path: str | None = None
    lacking: tuple = ()
    record: WeightsRecord | None = None
    info: dict | None = None


def read_weights(weights, names, record, check, load):
    """Read weights by name or from a file.

    Args:
        weights: string or path, as users pass it to a model builder: a name, a path, or an address
            `"hf://owner/name"`, see `fetch_from_hub`.
        names: names of published weights.
        record: function `name -> WeightsRecord` that raises for unknown names.
        check: function `(named, path) -> classes or None` that raises unless names and shapes fit
            the model.
        load: function `path -> (named, classes or None)` for files of other projects.

    Returns:
        `Source`. Everything but a Keras file has been checked to fit.
    """
    weights = os.path.expanduser(os.fspath(weights))
    if is_hub_address(weights):
        path = fetch_from_hub("weights", weights)
        return read_weights(path, (), record, check, load)._replace(label=weights)
    exists = os.path.exists(weights) or os.path.exists(f"{weights}.index")
    if weights in names or not exists:
        published = record(weights)
        path = converted(published, load)
        named = weight_map.load(path)
        return Source(weights, check(named, path), named, record=published)
    if weights.endswith((".weights.h5", ".keras")):
        return Source(weights, _keras_classes(weights), path=weights, info=_keras_info(weights))
    if weights.endswith(".npz"):
        named = weight_map.load(weights)
        return Source(weights, check(named, weights), named)
    named, classes = load(resolve_checkpoint(weights))
    return Source(weights, classes, named)


def converted(record, load):
    """Return the path of published weights as an `.npz` file; convert them on the first call.

    Args:
        record: `WeightsRecord`. Weights that come with the library are such a file already.
        load: function `path -> (named, classes or None)`.
    """
    if record.file is not None:
        return fetch(record)
    path = _cache() / "converted" / f"{record.cached_name.partition('.')[0]}.npz"
    if not path.is_file():
        named, _ = load(resolve_checkpoint(fetch(record)))
        weight_map.save(path, named, half=False)
    return path


def _keras_info(path):
    """Return the `info` of the model in a `.keras` file, `None` for other files and models."""
    if not path.endswith(".keras"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json")).get("config", {})
    except (AttributeError, KeyError, ValueError, RecursionError):  # of the weights nothing is lost
        return None
    info = config.get("info") if isinstance(config, dict) else None
    return info if isinstance(info, dict) else None


def _keras_classes(path):
    """Return the class count of a `.weights.h5` or `.keras` file: that of its last dense layer."""
    import h5py

    try:
        with open(path, "rb") as file:
            if path.endswith(".keras"):
                with zipfile.ZipFile(file) as archive:
                    file = io.BytesIO(archive.read("model.weights.h5"))
            with h5py.File(file, "r") as store:
                numbers = [re.fullmatch(r"dense(?:_(\d{1,3}))?", name) for name in store["layers"]]
                dense = [(int(match[1] or 0), match[0]) for match in numbers if match]
                return int(store[f"layers/{max(dense)[1]}/vars/1"].shape[0]) if dense else None
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"weights: expected a Keras weights file, got {path}: {error}.") from None
