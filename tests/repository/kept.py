"""Keeps something beside a version, as a conversion does, without one: files of a few bytes, with a record."""

from __future__ import annotations

import hashlib
import tempfile
from datetime import timedelta
from pathlib import Path

from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.derived import Compared, Record
from modelrepo.core.layout import Layout
from modelrepo.core.refs import Version
from modelrepo.fs import machine
from modelrepo.repository import keeping
from modelrepo.repository import snapshot as reading


def record_of(root: Path, version: str, data: bytes) -> Record:
    """A record of one file with these bytes."""
    manifest = reading.take(Layout(root)).manifest(Version(int(version[1:])))
    file = FileEntry(path="model.tflite", size=len(data), digest=f"sha256:{hashlib.sha256(data).hexdigest()}")
    return Record(
        version=manifest.version,
        version_digest=manifest.digest,
        signature="serving_default",
        loader="session",
        to="tflite",
        quantize="none",
        calibration=None,
        batch_size=None,
        tools={"tensorflow": "2.21.0", "ai-edge-litert": "2.3.0"},
        compared=Compared(source="generated", requests=4, seed=0, tolerance=1e-4, differences={"y": 1e-7}),
        files=(file,),
        digest=content_digest([file]),
        size=len(data),
        created_at=machine.now().time - timedelta(seconds=1),
        created_by=machine.actor(),
        modelrepo_version="0.1.0",
    )


def keep(root: Path, version: str, data: bytes = b"a model") -> tuple[Path, bool]:
    """Keep a file with these bytes beside a version; where it is, and whether it is new."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "model.tflite").write_bytes(data)
        listing = keeping.listing_of(Path(place))
        return keeping.keep(reading.take(Layout(root)), listing, record_of(root, version, data), None)
