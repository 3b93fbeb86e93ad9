"""A hub that is this machine: a cache laid out as the real one, and a server on localhost that speaks its protocol."""

import hashlib
import http.server
import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vitrail.checkpoints import hub as hub_module

OLD, NEW = "a" * 40, "b" * 40
MODEL = {
    "config.json": b'{"model_type": "bert"}',
    "vocab.txt": b"[PAD]\n",
    "model.safetensors": b"\x02" + bytes(7) + b"{}",
}


def cached(name: str, files: dict[str, bytes], *, commit: str = OLD, refs: tuple[str, ...] = ("main",)) -> Path:
    """Put a model into the cache as the hub's library lays it out: blobs, links to them, and refs."""
    repository = hub_module.cache_folder() / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    for path, content in files.items():
        blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
        link = snapshot / path
        for folder in (blob.parent, link.parent):
            folder.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.symlink_to("../" * (2 + path.count("/")) + f"blobs/{blob.name}")
    for ref in refs:
        path = repository / "refs" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)
    return snapshot


class FakeHub(http.server.ThreadingHTTPServer):
    """The four routes of the hub that are needed for a download, on this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeHubHandler)
        self.models: dict[str, dict[str, bytes]] = {}
        self.requests: list[tuple[str, str, str]] = []  # method, path, user agent
        self.broken_files: set[str] = set()
        self.status = 200


class FakeHubHandler(http.server.BaseHTTPRequestHandler):
    server: FakeHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.requests.append((self.command, path, self.headers["user-agent"]))
        if self.server.status != 200:
            return self.answer(b"{}", status=self.server.status)
        for name, files in self.server.models.items():
            if path == f"api/models/{name}" or path in (f"api/models/{name}/revision/{r}" for r in ("main", "v1", NEW)):
                siblings = [{"rfilename": file} for file in files]
                return self.answer(json.dumps({"id": name, "sha": NEW, "siblings": siblings}).encode())
            if path.startswith(f"api/models/{name}/tree/{NEW}"):
                digests = {file: hashlib.sha1(content).hexdigest() for file, content in files.items()}
                listing = [{"type": "file", "path": f, "size": len(files[f]), "oid": digests[f]} for f in files]
                return self.answer(json.dumps(listing).encode())
            if path.startswith(f"{name}/resolve/{NEW}/") and path.split(NEW + "/")[1] in files:
                file = path.split(NEW + "/")[1]
                if file in self.server.broken_files:
                    return self.answer(b"", status=404)
                return self.answer(files[file])
        return self.answer(b"{}", status=404, error="RepoNotFound")

    def answer(self, content: bytes, *, status: int = 200, error: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", NEW)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass
