"""A small server on the loopback address that speaks what huggingface_hub needs for models.

It creates repositories, takes commits of small and of large files (Git LFS), and gives out the
files. Tests can make it break off a download, and give out other bytes than it promises.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = 4096  # bytes; larger files go through Git LFS, as binary files do on the real server
READ, WRITE = "hf_read", "hf_write"  # the tokens


class HubServer(ThreadingHTTPServer):
    """The server; its files are in `repositories`.

    Attributes:
        repositories: dict, `"owner/name"` to `{revision: {path: bytes}}`.
        private: set of names of repositories that need a token.
        large: dict, SHA-256 to the bytes of uploaded large files.
        break_at: int or `None`: downloads end after this byte.
        breaks: int, how many downloads end too early; then the server is itself again.
        falsify: bool, whether files have another content than their hash says.
        down: bool, whether every request is answered with status 503.
        requests: list of strings, the method and path of every request.
        messages: list of strings, the messages of all commits.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.private, self.large = {}, set(), {}
        self.break_at, self.breaks, self.falsify, self.down = None, 0, False, False
        self.requests, self.messages = [], []
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def add(self, repository, files, revision="main"):
        """Put files into a repository."""
        self.repositories.setdefault(repository, {})[revision] = dict(files)


def commit_of(files):
    """The commit of a state of a repository: a hash of its content."""
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


def etag_of(data):
    """SHA-256 of large files, else SHA-1 as git computes it."""
    if len(data) > LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.dispatch()

    def do_GET(self):
        self.dispatch()

    def do_PUT(self):
        self.dispatch()

    def do_POST(self):
        self.dispatch()

    def dispatch(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        if self.server.down:
            return self.answer(503, {"error": "down"})
        name = "([^/]+/[^/]+)"
        for pattern, function in (
            ("/api/validate-yaml", self.validate),
            ("/api/repos/create", self.create),
            (f"/api/models/{name}(?:/revision/(.+))?", self.info),
            (f"/api/models/{name}/preupload/(.+)", self.preupload),
            (f"/api/models/{name}/commit/(.+)", self.commit),
            (f"/{name}[.]git/info/lfs/objects/batch", self.batch),
            ("/large/([0-9a-f]{64})", self.upload),
            (f"/{name}/resolve/(refs/pr/[0-9]+|[^/]+)/(.+)", self.resolve),
        ):
            match = re.fullmatch(pattern, path)
            if match:
                return function(*match.groups())
        return self.answer(404, {"error": f"no endpoint {path}"})

    def answer(self, status, content=None, headers=()):
        data = json.dumps(content).encode() if content is not None else b""
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @property
    def token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def may(self, repository=None, write=False):
        """Answer with an error and return False if the token does not allow it."""
        if self.token not in (None, READ, WRITE):
            words = "Invalid credentials in Authorization header"
            self.answer(401, {"error": words}, {"X-Error-Message": words})
        elif self.token is None and (write or repository in self.server.private):
            code = {"X-Error-Code": "RepoNotFound"} if repository else {}
            self.answer(401, {"error": "Invalid username or password."}, code)
        elif write and self.token == READ:
            self.answer(403, {"error": "a token with the right to write is needed"})
        else:
            return True
        return False

    def files(self, repository, revision):
        """The files of a revision, or `None` after an answer that there are none."""
        revisions = self.server.repositories.get(repository)
        if revisions is None:
            self.answer(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        commits = {commit_of(files): files for files in revisions.values()}
        files = revisions.get(revision, commits.get(revision))
        if files is None:
            self.answer(404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
        return files

    def validate(self):
        text = json.loads(self.body)["content"]
        if not text.startswith("---\n"):
            return self.answer(400, {"errors": [{"message": "no metadata"}]})
        return self.answer(200, {"errors": [], "warnings": []})

    def create(self):
        if not self.may(write=True):
            return
        wanted = json.loads(self.body)
        repository = f"{wanted['organization']}/{wanted['name']}"
        there = repository in self.server.repositories
        if not there:
            self.server.add(repository, {})
            if wanted.get("private") or wanted.get("visibility") == "private":
                self.server.private.add(repository)
        url = f"{self.server.endpoint}/{repository}"
        self.answer(409 if there else 200, {"url": url, "id": repository, "name": repository})

    def info(self, repository, revision):
        files = self.may(repository) and self.files(repository, revision or "main")
        if isinstance(files, dict):
            names = [{"rfilename": name} for name in files]
            self.answer(200, {"id": repository, "sha": commit_of(files), "siblings": names})

    def preupload(self, repository, revision):
        files = self.may(repository, write=True) and self.files(repository, revision)
        if isinstance(files, dict):
            answers = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] > LARGE else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(self.body)["files"]
            ]
            self.answer(200, {"files": answers})

    def batch(self, repository):
        if self.may(repository, write=True):
            objects = [
                {**o, "actions": {"upload": {"href": f"{self.server.endpoint}/large/{o['oid']}"}}}
                for o in json.loads(self.body)["objects"]
            ]
            self.answer(200, {"transfer": "basic", "objects": objects})

    def upload(self, digest):
        if hashlib.sha256(self.body).hexdigest() != digest:
            return self.answer(400, {"error": "the hash does not fit"})
        self.server.large[digest] = self.body
        return self.answer(200)

    def commit(self, repository, revision):
        files = self.may(repository, write=True) and self.files(repository, revision)
        if not isinstance(files, dict):
            return
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "header":
                self.server.messages.append(value["summary"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        commit = commit_of(files)
        url = f"{self.server.endpoint}/{repository}/commit/{commit}"
        self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url})

    def resolve(self, repository, revision, name):
        files = self.may(repository) and self.files(repository, revision)
        if not isinstance(files, dict):
            return
        headers = {"X-Repo-Commit": commit_of(files), "Accept-Ranges": "bytes"}
        if name not in files:
            self.answer(404, {"error": "no file"}, {**headers, "X-Error-Code": "EntryNotFound"})
            return
        data = files[name]
        headers["ETag"] = f'"{etag_of(data)}"'
        if self.server.falsify:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if start:
            headers["Content-Range"] = f"bytes {start[1]}-{len(data) - 1}/{len(data)}"
            data = data[int(start[1]) :]
        self.send_response(206 if start else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.breaks:
            self.server.breaks -= 1
            data = data[: self.server.break_at]
            self.close_connection = True
        self.wfile.write(data)
