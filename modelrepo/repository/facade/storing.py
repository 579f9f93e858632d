"""The methods that take in, check and delete."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

from modelrepo.core.refs import LATEST, Version, parse_channel
from modelrepo.core.values import check_labels, check_metrics, check_text
from modelrepo.errors import RequestError
from modelrepo.repository import results
from modelrepo.repository.border import (
    LOAD_TIMEOUT,
    border,
    memory,
    numbered,
    ops,
    parsed,
    place,
    require,
    said,
    seconds,
)
from modelrepo.repository.facade.rooted import Rooted
from modelrepo.repository.progress import Progress


class Storing(Rooted):
    """`init`, `push`, `export`, `verify`, `cleanup`, `remove`."""

    def init(
        self,
        *,
        adopt: bool = False,
        shared: str | None = None,
        dedup: Literal["reflink", "hardlink", "off"] | None = None,
        allow_network_fs: bool = False,
        progress: Progress | None = None,
    ) -> results.InitResult:
        """Make the repository in a missing or empty directory; change nothing where it is whole.

        Others see no repository until it is complete.

        Args:
            adopt: Take over a hand-made tree: its `vN` directories and the links that name them. Everything is checked
                and read first; then each version gets its manifest. No mode and no byte of a model changes. In a
                repository: take over the `vN` that are foreign to it.
            shared: A group, by name or number, whose members may all write; None for the owner alone.
            dedup: How a push stores what is stored already: `reflink`, a clone where the file system can, else a copy
                (the default); `hardlink`, one more name for the same file; `off`, a copy.
            allow_network_fs: Let it lie on NFS, SMB, FUSE or an unknown file system, where less is promised.
            progress: Is told how many bytes of an adoption are read.

        Returns:
            What was done; `warnings` says where a whole repository is not what was asked for.

        Raises:
            RefusedError: The directory holds something else, or cannot be adopted as it stands; nothing was changed.
            NotFoundError: There is no such group.
            SystemRefusedError: This user is not in the group, or the file system cannot keep the promises.
        """
        from modelrepo.repository import adopting, initializing, sharing

        with border("make the repository"):
            group = None if shared is None else sharing.group_number(shared)
            founding = sharing.Founding(group, allow_network_fs, dedup)
            if adopt:
                return adopting.adopt(self._layout, self._timeout, founding, progress)
            return initializing.init(self._layout, self._timeout, founding)

    def push(
        self,
        source: str | os.PathLike[str] | object,
        *,
        message: str | None = None,
        labels: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        load: bool = True,
        load_timeout: timedelta = LOAD_TIMEOUT,
        load_memory: int | None = None,
        allow_ops: Collection[str] = (),
        follow_links: bool = False,
        links_into: Sequence[str | os.PathLike[str]] = (),
        allow_duplicate: bool = False,
        promote: bool = False,
        channel: str = LATEST,
        allow_breaking: bool = False,
        reason: str | None = None,
        init: bool = False,
        number: int | None = None,
        golden: str | os.PathLike[str] | None = None,
        smoke: bool = False,
        batch_size: int | None = None,
        serving: str | None = None,
        custom_objects: Sequence[str] = (),
        unsafe_deserialization: bool = False,
        strip: bool = False,
        keep_source: bool = False,
        progress: Progress | None = None,
    ) -> results.PushResult:
        """Take in a SavedModel, or a Keras model that becomes one, as the next version.

        Others see the version whole or not at all. On return it is on the disk.

        Args:
            source: The SavedModel's directory, or a `.keras` or `.h5` file, only read; or a live `keras.Model`.
            message: What to say about it.
            labels: Words, by key.
            metrics: Finite numbers, by key.
            load: Whether TensorFlow must load it first, in a child process.
            load_timeout: How long that may take.
            load_memory: Bytes of memory that may take (Linux); None for 4 GiB and three times the model.
            allow_ops: Ops that are let in though the scan refuses them; manifest and history say so.
            follow_links: Store what symbolic links inside the source name; without it, links are refused.
            links_into: Directories outside the source that links may lead into.
            allow_duplicate: Store it although a version has the same content.
            promote: Move `channel` to it afterwards.
            channel: Which channel.
            allow_breaking: Let `promote` break callers.
            reason: What the history says of the promote.
            init: Make the repository first, if there is none.
            number: Its number, above every one that was ever used here, so that hosts agree on numbers; None for the
                next.
            golden: A file of requests and right answers, JSON or `.npz` (docs/golden.md): run behind the load, kept
                with the version. Of an export, the file beside it where this is None.
            smoke: Call every signature with zeros or empty strings; what comes must be finite.
            batch_size: Of a Keras model: add the signature `predict_batch` for batches of just this size.
            serving: Of a Keras model: `FILE.py:FUNCTION`; it is given the model and returns the `tf.function` to serve,
                or several by name, each with an `input_signature` of named tensors.
            custom_objects: Of a Keras file: where its own classes are, `package.module:Name`.
            unsafe_deserialization: Of a Keras file: let it bring code (Lambda layers).
            strip: Of a Keras model: leave out variables that no signature reads, which only training needs.
            keep_source: Of a Keras file: store it, too, in `assets.extra`.
            progress: Is told how many bytes are copied.

        Returns:
            The version that has the content; `created` is False where it was there before.

        Raises:
            SourceError: It is no SavedModel, cannot be stored, or changed while it was read.
            ModelError: The scan refuses it, TensorFlow could not load it, or it answered a golden request wrong.
            RequestError: The golden requests are none, or do not fit the model.
            SystemRefusedError: There is no room, or no permission.
            RefusedError: The number is spent. Or it was stored, but not promoted: then `error.partial` is the result.
            IntegrityError: It is an export (see `export`) whose files are not what its manifest says.
        """
        from modelrepo.repository import from_keras, pushing, staging
        from modelrepo.repository import golden as requests
        from modelrepo.repository.routing import Request
        from modelrepo.savedmodel.keras_export import Wishes

        if smoke and not load:
            raise RequestError("smoke tries a model that is loaded", kind="options-exclude", got="smoke without load")
        promotion = None
        if promote:
            promotion = Request(parse_channel(channel), said(reason), allow_breaking, automatic=True)
        options = pushing.Options(
            message=None if message is None else check_text(message, "the message"),
            labels=check_labels(dict(labels or {})),
            metrics=check_metrics(dict(metrics or {})),
            load=load,
            load_seconds=seconds(load_timeout),
            load_memory=memory(load_memory),
            allow_ops=ops(allow_ops),
            links=staging.Links(follow_links, [Path(place(link, "a directory for links")) for link in links_into]),
            allow_duplicate=allow_duplicate,
            promotion=promotion,
            init=init,
            number=numbered(number),
            smoke=smoke,
        )
        wishes = Wishes(batch_size, serving, tuple(custom_objects), unsafe_deserialization, strip)
        with border("push"):
            if golden is not None:
                data = requests.read_requests(Path(place(golden, "the golden file")))
                options = dataclasses.replace(options, golden=data)
            keras = from_keras.opened(
                source,
                wishes,
                keep=keep_source,
                load=load,
                memory=options.load_memory,
                seconds=options.load_seconds,
            )
            with keras as (directory, made):
                options = dataclasses.replace(options, keras=made)
                return pushing.push(self._layout, directory, options, self._timeout, progress)

    def export(
        self, ref: str | Version, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> results.ExportResult:
        """Copy a version out of the repository: verified, synced, there by one rename, with its manifest.

        A push of the copy, here or on another host, checks it against the manifest and records where it came from.

        Args:
            ref: Which version.
            path: The goal: missing, or an empty directory; the directory above it exists.
            progress: Is told how many bytes are copied.

        Raises:
            RefusedError: Something is there already.
            IntegrityError: The version is damaged; nothing was exported.
        """
        from modelrepo.repository import exporting

        with border("export", outside=True):
            return exporting.export(self._layout, parsed(ref), Path(place(path, "the goal")), progress)

    def verify(
        self,
        refs: Sequence[str | Version] = (),
        *,
        quick: bool = False,
        unchecked_for: timedelta | None = None,
        repair: bool = False,
        progress: Progress | None = None,
    ) -> results.VerifyResult:
        """Check bytes, links, views and journal against what was promised.

        Bytes are read on all cores. When each version was last read whole is remembered, where this user may write.

        Args:
            refs: Only these versions; none for everything.
            quick: Read no bytes of models.
            unchecked_for: Read only the bytes of versions that were last read whole longer ago than this, those first
                that were not for the longest time: so a full check spreads over several runs.
            repair: Mend views, the journal, modes, absolute links and dead staging first; never model bytes, never
                where a link leads.
            progress: Is told how many bytes are read, from several threads, one at a time.

        Returns:
            What was found; `ok` says whether anything is left wrong.
        """
        from modelrepo.repository import checking, repairing

        if quick and unchecked_for is not None:
            raise RequestError("quick and unchecked_for exclude each other", kind="options-exclude")
        with border("verify"):
            wanted = [parsed(ref) for ref in refs]
            repaired = repairing.repair(self._layout, self._timeout) if repair else ()
            return checking.verify(
                self._layout,
                wanted,
                quick=quick,
                unchecked_for=unchecked_for,
                repaired=repaired,
                progress=progress,
            )

    def cleanup(
        self,
        *,
        keep_last: int | None = None,
        keep_rollback: int | None = None,
        min_age: timedelta | None = None,
        grace: timedelta | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> results.CleanupResult:
        """Delete the versions that retention lets go, and what crashed commands left behind.

        Args:
            keep_last: Keep the newest versions; None for the settings'. Likewise the others.
            keep_rollback: Keep rollback targets of each channel, at least 1.
            min_age: Keep what is younger.
            grace: Keep what a channel left less than this ago.
            dry_run: Only say what would go.
            progress: Is told how many bytes of the versions that go are deleted.

        Raises:
            IntegrityError: The repository is inconsistent; nothing was deleted.
            BusyError: Somebody holds the lock.
        """
        from modelrepo.repository import cleaning

        require("keep_last", keep_last, 0)
        require("keep_rollback", keep_rollback, 1)
        given = {"keep_last": keep_last, "keep_rollback": keep_rollback, "min_age": min_age, "grace": grace}
        rules: dict[str, object] = {name: value for name, value in given.items() if value is not None}
        with border("clean up"):
            return cleaning.cleanup(self._layout, rules, dry_run=dry_run, timeout=self._timeout, progress=progress)

    def remove(self, refs: Sequence[str | Version], *, reason: str | None = None) -> results.RemoveResult:
        """Delete versions now, past retention's ages and counts: all of them, or none where one may not go.

        Args:
            refs: Which versions.
            reason: What the history says.

        Raises:
            RefusedError: A channel, link, pin, lease or process needs one of them, or nothing would be left.
            IntegrityError: The repository is inconsistent; nothing was deleted.
        """
        from modelrepo.repository import removing

        if isinstance(refs, str) or not refs:
            raise RequestError("name the versions to remove", kind="refs-missing", expected="a list of refs")
        with border("remove"):
            return removing.remove(self._layout, [parsed(ref) for ref in refs], said(reason), self._timeout)
