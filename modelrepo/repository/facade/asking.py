"""The methods that only read."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from modelrepo.core.refs import Version, parse_channel
from modelrepo.repository import results
from modelrepo.repository.border import (
    LOAD_TIMEOUT,
    border,
    counted,
    memory,
    ops,
    parsed,
    place,
    ref_or_path,
    seconds,
)
from modelrepo.repository.facade.rooted import Rooted
from modelrepo.repository.leasing import Lease


class Asking(Rooted):
    """`list`, `show`, `inspect`, `diff`, `predict`, `compare`, `history`, `status`, `path`, `lease`, and the rest."""

    def show(self, ref: str | Version) -> results.VersionDetails:
        """One version: its manifest and its state, also after it was deleted."""
        from modelrepo.repository import querying

        with border("show the version"):
            return querying.show(self._layout, parsed(ref))

    def inspect(
        self,
        target: str | Version | os.PathLike[str],
        *,
        load: bool = False,
        load_timeout: timedelta = LOAD_TIMEOUT,
        load_memory: int | None = None,
        allow_ops: Collection[str] = (),
    ) -> results.Inspection:
        """Read a SavedModel's signatures, tags and ops in a child process, and scan what it could do to its host.

        Args:
            target: A ref, or a path: a `Path`, or a text with a `/`, or `.` or `..`.
            load: Load it too; a version then answers its golden requests.
            load_timeout: How long that may take.
            load_memory: Bytes of memory that may take.
            allow_ops: Ops that do not keep it from being loaded, though the scan refuses them; of a version, besides
                those that its push let in.

        Raises:
            SourceError: It is no SavedModel.
            ModelError: The scan refuses it and it was not loaded, TensorFlow could not load it, or an answer was wrong;
                `error.partial` holds what was read and found.
            IntegrityError: Its golden requests are gone or damaged.
        """
        from modelrepo.repository import inspecting

        with border("inspect the model", outside=True):
            limits = inspecting.Limits(seconds(load_timeout), memory(load_memory), ops(allow_ops))
            return inspecting.inspect(self._layout, ref_or_path(target), limits if load else None)

    def diff(
        self, before: str | Version | os.PathLike[str], after: str | Version | os.PathLike[str]
    ) -> results.DiffResult:
        """Compare two models: what changes for callers, and on disk. Nothing is loaded.

        Args:
            before: A ref, also of a version that was deleted, or a path: a `Path`, or a text with a `/`.
            after: Likewise.

        Returns:
            What changes; where something could not be read, it is None and `warnings` says why.

        Raises:
            NotFoundError: There is no such version.
            SourceError: A path is no SavedModel.
            ModelError: A path, or a version whose manifest has no signatures, cannot be read.
        """
        from modelrepo.repository import diffing

        with border("compare the models", outside=True):
            return diffing.diff(self._layout, ref_or_path(before), ref_or_path(after))

    def predict(
        self,
        ref: str | Version,
        inputs: str | os.PathLike[str] | bytes | Mapping[str, Any],
        *,
        signature: str | None = None,
        load_timeout: timedelta = LOAD_TIMEOUT,
        load_memory: int | None = None,
        allow_ops: Collection[str] = (),
    ) -> results.Prediction:
        """Call one signature of a version once, in a child process: a look, not a server.

        Args:
            ref: Which version; it is leased meanwhile.
            inputs: Nested lists by key; or a file of them, JSON or `.npz` (docs/golden.md): its path or its bytes.
            signature: Which signature; None for `serving_default`, or the only one.
            load_timeout: How long load and call may take.
            load_memory: Bytes of memory they may take (Linux).
            allow_ops: Ops that do not keep it from being loaded, besides those that its push let in.

        Raises:
            NotFoundError: There is no such version or signature.
            RequestError: The inputs do not fit; the error names the input, what was expected and what was given.
            ModelError: The scan refuses it and it was not loaded, or TensorFlow could not load or run it.
        """
        from modelrepo.repository import inspecting, predicting

        with border("predict", outside=True):
            given = Path(place(inputs, "the input")) if isinstance(inputs, str | os.PathLike) else inputs
            limits = inspecting.Limits(seconds(load_timeout), memory(load_memory), ops(allow_ops))
            return predicting.predict(self._layout, parsed(ref), predicting.inputs(given), signature, limits)

    def compare(
        self,
        before: str | Version | os.PathLike[str],
        after: str | Version | os.PathLike[str],
        *,
        requests: str | os.PathLike[str] | bytes | None = None,
        labels: str | os.PathLike[str] | bytes | None = None,
        signature: str | None = None,
        outputs: Collection[str] = (),
        generate: int | None = None,
        seed: int = 0,
        runs: int = 10,
        tolerance: float = 1e-5,
        html: str | os.PathLike[str] | None = None,
        load_timeout: timedelta = LOAD_TIMEOUT,
        load_memory: int | None = None,
        allow_ops: Collection[str] = (),
    ) -> results.CompareResult:
        """Let two models answer the same requests, each in a child process, and compare answers, latency and memory.

        Args:
            before: What callers know: a ref, which is leased meanwhile, or a path (a `Path`, or a text with a `/`).
            after: What it is compared with, likewise.
            requests: A file of requests (docs/compare.md): its path or its bytes. None for the golden requests of
                `before`, else of `after`; where there are none, or a signature is named, they are generated.
            labels: A file of the right classes: its path or its bytes.
            signature: Which signature requests call that name none; None for `serving_default`, or the only one.
            outputs: Which outputs are compared; none for all.
            generate: Generate so many requests, also where there are golden ones.
            seed: What generated requests come from, from 0 to 2**32 - 1: the same seed, the same requests.
            runs: How often each request is timed.
            tolerance: By how much a float may differ: `tolerance + tolerance * |of before|`.
            html: Where to write a page with the figures and plots; nothing may be there.
            load_timeout: How long each model may take for the load and its answers, and for each round.
            load_memory: Bytes of memory that each may take (Linux).
            allow_ops: Ops that do not keep a model from being loaded, besides those that its push let in.

        Raises:
            NotFoundError: There is no such version or signature.
            SourceError: A path is no SavedModel.
            RequestError: Requests or labels do not fit; the error names which, what was expected and what was given.
            ModelError: The scan refuses a model and nothing was loaded, or TensorFlow could not load or run it.
            RefusedError: Something stands where the page should be written.
        """
        from modelrepo.repository import comparing, inspecting, questioning

        with border("compare the models", outside=True):
            wishes = questioning.Wishes(
                requests=questioning.given(requests),
                labels=questioning.given(labels, labels=True),
                signature=signature,
                outputs=tuple(outputs),
                generate=generate,
                seed=seed,
                runs=runs,
                tolerance=tolerance,
                html=None if html is None else Path(place(html, "the page")),
            )
            questioning.check(wishes)
            limits = inspecting.Limits(seconds(load_timeout), memory(load_memory), ops(allow_ops))
            return comparing.compare(self._layout, ref_or_path(before), ref_or_path(after), wishes, limits)

    def history(self, *, channel: str | None = None, limit: int | None = None) -> tuple[results.HistoryEntry, ...]:
        """What happened, the latest first.

        Args:
            channel: Only the moves of this channel.
            limit: At most this many.
        """
        from modelrepo.repository import recalling

        with border("read the history"):
            name = None if channel is None else parse_channel(channel)
            return recalling.history(self._layout, name, counted(limit))

    def history_at(self, time: datetime) -> results.HistoryAt:
        """Where the channels pointed at a time.

        Args:
            time: When; one without a zone is UTC.

        Raises:
            RequestError: It lies in the future.
            NotFoundError: It lies before the history begins.
        """
        from modelrepo.repository import recalling

        with border("read the history"):
            return recalling.at(self._layout, time if time.tzinfo is not None else time.replace(tzinfo=UTC))

    def channels(self) -> tuple[results.Channel, ...]:
        """Every channel: its target, its stack, where a rollback would lead, its base path."""
        from modelrepo.repository import channels

        with border("read the channels"):
            return channels.channels(self._layout)

    def lease(self, ref: str | Version) -> Lease:
        """Hold a version, so that cleanup and `remove` leave it alone while it is read. Use it in a `with` statement.

        Needs no right to write. It ends when closed, or with the process. On NFS it holds against processes of the
        same host only.

        Args:
            ref: Which version; a channel is resolved once.

        Raises:
            NotFoundError: There is no such version.
            BusyError: Somebody who wants to delete it held it for too long.

        >>> import tempfile
        >>> from modelrepo import Repository
        >>> repository = Repository(tempfile.mkdtemp() + "/ranker")
        >>> _ = repository.push("sample_models/classifier_v1", init=True, load=False, promote=True)
        >>> with repository.lease("latest") as lease:
        ...     lease.version, sorted(path.name for path in lease.path.glob("*.pb"))
        (Version(1), ['fingerprint.pb', 'saved_model.pb'])
        """
        from modelrepo.repository import leasing

        with border("lease the version"):
            return leasing.lease(self._layout, parsed(ref))

    def status(self) -> results.Status:
        """Channels, where a rollback would lead, space, problems."""
        from modelrepo.repository import querying

        with border("read the status"):
            return querying.status(self._layout)

    def path(self, ref: str | Version) -> results.PathResult:
        """Where a version is. Resolve once and read below that path: a channel may move meanwhile."""
        from modelrepo.repository import snapshot as reading

        with border("find the version"):
            version = reading.take(self._layout).resolve(parsed(ref))
            return results.PathResult(version=version, path=str(self._layout.version(version)))

    def serving_config(
        self, *, name: str | None = None, base_path: str | None = None, leave_out: Collection[str] = ()
    ) -> results.ServingConfig:
        """TensorFlow Serving's configuration for the channels of this repository.

        Args:
            name: The model's name; None for the root's.
            base_path: The root as the server sees it; None for the root.
            leave_out: Channels that get no entry, such as one that is about to be removed.

        Raises:
            NotFoundError: A channel that shall be left out is not there.
        """
        from modelrepo.repository import querying
        from modelrepo.repository import snapshot as reading

        with border("read the channels"):
            snapshots = [reading.take(self._layout)]
            querying.check_channels(snapshots, leave_out)
            return querying.serving_config(snapshots, name, base_path, leave_out, many=False)

    def list(
        self, *, limit: int | None = None, labels: Mapping[str, str] | None = None, removed: bool = False
    ) -> tuple[results.VersionSummary, ...]:
        """The versions, highest number first.

        Args:
            limit: At most this many.
            labels: Only versions that carry all of these.
            removed: The versions that were deleted, instead of those that are there.
        """
        from modelrepo.repository import querying

        with border("list the versions"):
            return querying.summaries(self._layout, counted(limit), labels or {}, removed=removed)
