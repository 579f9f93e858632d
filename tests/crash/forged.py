"""What somebody wrote into settings, manifests and the journal, with checksums and digests made right again."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .damages import Damage, ends
from .scene import STATE

Body = dict[str, Any]
NOTHING = "sha256:" + "0" * 64
_DEEP = 100_000
#: Beyond what Python reads as a number.
_ENDLESS = "9" * 5000

#: What stands in the settings behind `format = 1`, or instead.
SETTINGS: Mapping[str, bytes] = {
    "a newer format": b"format = 2\n",
    "a format that is a truth": b"format = true\n",
    "a format that is a fraction": b"format = 1.0\n",
    "a format of 5,000 digits": b"format = " + _ENDLESS.encode() + b"\n",
    "no format": b"[retention]\nkeep_last = 5\n",
    "a key twice": b"format = 1\nformat = 1\n",
    "a table twice": b"format = 1\n[gates]\n[gates]\n",
    "an unknown key": b"format = 1\nowner = 'me'\n",
    "an unknown table": b"format = 1\n[hooks]\nrun = 'rm -rf /'\n",
    "NaN versions": b"format = 1\n[retention]\nkeep_last = nan\n",
    "fewer than no versions": b"format = 1\n[retention]\nkeep_last = -1\n",
    "no rollback target": b"format = 1\n[retention]\nkeep_rollback = 0\n",
    "a negative age": b'format = 1\n[retention]\nmin_age = "-1h"\n',
    "an endless age": b'format = 1\n[retention]\nmin_age = "' + _ENDLESS.encode() + b'w"\n',
    "an age as a number": b"format = 1\n[retention]\nmin_age = 24\n",
    "a truth as a word": b'format = 1\n[access]\nshared = "yes"\n',
    "an unknown gate": b'format = 1\n[gates]\nbreaking = "maybe"\n',
    "nested lists": b"format = " + b"[" * _DEEP,
    "nested tables": b"format = 1\n[" + b".".join([b"a"] * _DEEP) + b"]\n",
    "UTF-16": "format = 1\n".encode("utf-16"),
    "another encoding": b"format = 1\n# caf\xe9\n",
    "a zero byte": b"format = 1\n\0",
    "17 KB of comments": b"format = 1\n" + b"#" * 17_000,
}


def _set(**fields: object) -> Callable[[Body], object]:
    return lambda body: body.update(fields)


def _first_path(path: str) -> Callable[[Body], object]:
    """Give the first file another path, and the whole the digest that goes with it."""

    def change(body: Body) -> None:
        body["files"][0]["path"] = path
        _redigest(body)

    return change


def _redigest(body: Body) -> None:
    lines = [f"{entry['digest'].removeprefix('sha256:')}  ./{entry['path']}\n" for entry in body["files"]]
    text = "".join(sorted(lines, key=lambda line: line[66:]))
    body["digest"] = f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def _emptied(body: Body) -> None:
    body.update(files=[], size=0)
    _redigest(body)


#: What a forger changes in a manifest.
FIELDS: Mapping[str, Callable[[Body], object]] = {
    "a path up": _first_path("../../outside/file"),
    "a path up inside": _first_path("variables/../../../outside/file"),
    "an absolute path": _first_path("/etc/passwd"),
    "an empty path": _first_path(""),
    "the path of the directory": _first_path("."),
    "a path with a zero byte": _first_path("a\0b"),
    "a path with an escape": _first_path("\x1b[2J"),
    "a path with half a character": _first_path("\ud800"),
    "the manifest's own path": _first_path("manifest.json"),
    "a path of a megabyte": _first_path("x" * 1_000_000),
    "a file twice": lambda body: body["files"].append(body["files"][0]),
    "no files": _emptied,
    "a newer format": _set(format=2),
    "a format that is a word": _set(format="1"),
    "a format that is a truth": _set(format=True),
    "an unknown key": _set(owner="me"),
    "a size below nothing": _set(size=-1),
    "a size beyond all": _set(size=10**30),
    "a size that is a fraction": _set(size=1.5),
    "another version's number": _set(version="v2"),
    "a number spelled v03": _set(version="v03"),
    "a number beyond all": _set(version="v" + "9" * 30),
    "a digest that is none": _set(digest="sha256:../../x"),
    "another digest": _set(digest=NOTHING),
    "a time without a zone": _set(created_at="2026-01-01T00:00:00"),
    "a time in the year 10000": _set(created_at="10000-01-01T00:00:00Z"),
    "a time that is a number": _set(created_at=1e300),
    "golden requests elsewhere": _set(
        golden={"digest": "sha256:../../../x", "format": "json", "size": 1, "requests": 1}
    ),
    "a message of ten megabytes": _set(message="x" * 10_000_000),
    "a label with a line break": _set(labels={"a\nb": "c"}),
    "a metric beyond all": _set(metrics={"a": 10**400}),
    "a metric that is none": _set(metrics={"a": float("nan")}),
    "a metric without an end": _set(metrics={"a": float("inf")}),
    "an empty signature's name": _set(signatures={"": {}}),
}
#: What may stand in a manifest's place.
TEXTS: Mapping[str, Callable[[bytes], bytes]] = {
    "nothing but an object": lambda _: b"{}",
    "a list": lambda _: b"[]",
    "null": lambda _: b"null",
    "NaN": lambda _: b"NaN",
    "a number of 5,000 digits": lambda _: _ENDLESS.encode(),
    "nested lists": lambda _: b"[" * _DEEP,
    "nested objects": lambda _: b'{"a":' * _DEEP,
    "a key twice": lambda data: data.replace(b'"format":', b'"format": 1, "format":', 1),
    "a key twice further in": lambda data: data.replace(b'"path":', b'"path": "x", "path":', 1),
    "words behind it": lambda data: data + b"and more",
    "a mark before it": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "another encoding": lambda data: data.replace(b'"message": null', b'"message": "caf\xe9"'),
    "20 MB of blanks": lambda data: data + b" " * 20_000_000,
}


def seal(bodies: list[Body]) -> bytes:
    """Write records as a journal whose numbers, digests and checksums are right."""
    before, lines = NOTHING, []
    for body in bodies:
        lines.append(line({**{key: told for key, told in body.items() if key not in {"prev", "crc"}}, "prev": before}))
        before = f"sha256:{hashlib.sha256(lines[-1]).hexdigest()}"
    return b"".join(lines)


def line(body: Body) -> bytes:
    """Write one record with its checksum."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return text[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(text)


def records(root: Path) -> list[Body]:
    """The records of a repository's journal."""
    return [json.loads(text) for text in (root / STATE / "journal.jsonl").read_bytes().splitlines()]


def write_journal(root: Path, data: bytes) -> None:
    """Put bytes into the journal."""
    (root / STATE / "journal.jsonl").write_bytes(data)


def _settings(data: bytes) -> Callable[[Path], object]:
    return lambda root: (root / STATE / "config.toml").write_bytes(data)


def _removed(make: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        path = root / STATE / "removed" / "v1.json"
        data = make(path.read_bytes())
        path.chmod(0o644)
        path.write_bytes(data)

    return do


def _signed(make: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Put other bytes into the manifest of v3, and let the journal say that these were pushed."""

    def do(root: Path) -> None:
        path = root / "v3" / "manifest.json"
        data = make(path.read_bytes())
        path.chmod(0o644)
        path.write_bytes(data)
        path.chmod(0o444)
        bodies = records(root)
        for body in bodies:
            if body.get("version") == "v3" and "manifest_digest" in body:
                body["manifest_digest"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        write_journal(root, seal(bodies))

    return do


def _changed(change: Callable[[Body], object]) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        body = json.loads(data)
        change(body)
        return json.dumps(body).encode()

    return make


#: What a manifest may say, whoever wrote it, and what then ends otherwise. `status` believes bytes that the journal
#: vouches for.
_SAYABLE: Mapping[str, tuple[str, str]] = {
    "no files": ("5 verify repair", ""),
    "a format that is a truth": ("", ""),
    "a label with a line break": ("", ""),
    "a message of ten megabytes": ("", ""),
    "a mark before it": ("", ""),
    "UTF-16": ("", ""),
    "20 MB of blanks": ("", ""),
}


def damages() -> list[Damage]:
    """Forged settings and manifests."""
    config, kept = ".modelrepo/config.toml", ".modelrepo/removed/v1.json"
    found = [
        Damage(f"settings: {what}", f"settings: {what}", config, _settings(data), ends("5 all"))
        for what, data in SETTINGS.items()
    ]
    makes = {what: _changed(change) for what, change in FIELDS.items()} | dict(TEXTS)
    for what, make in makes.items():
        live, gone = _SAYABLE.get(what, ("5 diff compare verify repair, 0|5 status", "5 show-removed"))
        found.append(Damage(f"manifest of v3: {what}", what, "v3/manifest.json", _signed(make), ends(live)))
        found.append(Damage(f"manifest of the removed v1: {what}", what, kept, _removed(make), ends(gone)))
    return found
