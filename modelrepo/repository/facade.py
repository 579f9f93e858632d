"""`Repository`: a method per command, the same words and results as the command line. It never prints or exits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from modelrepo.core.layout import Layout
from modelrepo.core.refs import LATEST, Version, parse_channel
from modelrepo.core.values import check_labels, check_metrics, check_text
from modelrepo.errors import RequestError
from modelrepo.repository import results
from modelrepo.repository.border import border, counted, memory, parsed, place, require, said, seconds
from modelrepo.repository.moving import Request

LOAD_TIMEOUT = timedelta(minutes=5)


class Repository:
    """The versions of one model, in one directory.

    Making one opens nothing; every method looks at the disk anew. Methods raise the families of `modelrepo.errors`.

    Args:
        root: The repository's directory.
        lock_timeout: Seconds to wait for the lock; None for `MODELREPO_LOCK_TIMEOUT`, else 30 (cleanup 0).

    >>> import tempfile
    >>> repository = Repository(tempfile.mkdtemp() + "/ranker")
    >>> repository.init().created
    True
    >>> pushed = repository.push("sample_models/classifier_v1", message="first", metrics={"accuracy": 0.7}, load=False)
    >>> str(pushed.version), sorted(pushed.signatures)
    ('v1', ['predict_batch', 'serving_default'])
    >>> repository.promote("v1", reason="go live").to
    Version(1)
    >>> [(entry.action, str(entry.version or entry.to)) for entry in repository.history()]
    [('promote', 'v1'), ('push', 'v1')]
    """

    def __init__(self, root: str | os.PathLike[str], *, lock_timeout: float | None = None) -> None:
        with border("find the repository"):
            self._layout = Layout(Path(os.path.realpath(place(root, "the repository"))))
        self._timeout = lock_timeout

    def __repr__(self) -> str:
        return f"Repository({str(self.root)!r})"

    @property
    def root(self) -> Path:
        """The repository's directory, absolute and without links."""
        return self._layout.root

    def init(self) -> results.InitResult:
        """Make the repository in a missing or empty directory; change nothing where it is whole.

        Others see no repository until it is complete.

        Raises:
            RefusedError: The directory holds something else.
        """
        from modelrepo.repository import initializing

        with border("make the repository"):
            return initializing.init(self._layout, self._timeout)

    def push(
        self,
        source: str | os.PathLike[str],
        *,
        message: str | None = None,
        labels: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        load: bool = True,
        load_timeout: timedelta = LOAD_TIMEOUT,
        load_memory: int | None = None,
        follow_links: bool = False,
        links_into: Sequence[str | os.PathLike[str]] = (),
        allow_duplicate: bool = False,
        promote: bool = False,
        channel: str = LATEST,
        allow_breaking: bool = False,
        reason: str | None = None,
        init: bool = False,
    ) -> results.PushResult:
        """Take in a SavedModel as the next version.

        Others see the version whole or not at all. On return it is on the disk.

        Args:
            source: The SavedModel's directory, only read.
            message: What to say about it.
            labels: Words, by key.
            metrics: Finite numbers, by key.
            load: Whether TensorFlow must load it first, in a child process.
            load_timeout: How long that may take.
            load_memory: Bytes of memory that may take (Linux); None for 4 GiB and three times the model.
            follow_links: Store what symbolic links inside the source name; without it, links are refused.
            links_into: Directories outside the source that links may lead into.
            allow_duplicate: Store it although a version has the same content.
            promote: Move `channel` to it afterwards.
            channel: Which channel.
            allow_breaking: Let `promote` break callers.
            reason: What the history says of the promote.
            init: Make the repository first, if there is none.

        Returns:
            The version that has the content; `created` is False where it was there before.

        Raises:
            SourceError: It is no SavedModel, cannot be stored, or changed while it was read.
            ModelError: TensorFlow could not load it.
            SystemRefusedError: There is no room, or no permission.
            RefusedError: It was stored, but not promoted; `error.partial` is the result.
        """
        from modelrepo.repository import pushing, staging

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
            links=staging.Links(follow_links, [Path(place(link, "a directory for links")) for link in links_into]),
            allow_duplicate=allow_duplicate,
            promotion=promotion,
            init=init,
        )
        with border("push"):
            return pushing.push(self._layout, Path(place(source, "the source")), options, self._timeout)

    def list(
        self, *, limit: int | None = None, labels: Mapping[str, str] | None = None
    ) -> tuple[results.VersionSummary, ...]:
        """The versions, highest number first.

        Args:
            limit: At most this many.
            labels: Only versions that carry all of these.
        """
        from modelrepo.repository import querying

        with border("list the versions"):
            return querying.summaries(self._layout, counted(limit), labels or {})

    def show(self, ref: str | Version) -> results.VersionDetails:
        """One version: its manifest and its state, also after it was deleted."""
        from modelrepo.repository import querying

        with border("show the version"):
            return querying.show(self._layout, parsed(ref))

    def inspect(
        self, target: str, *, load: bool = False, load_timeout: timedelta = LOAD_TIMEOUT, load_memory: int | None = None
    ) -> results.Inspection:
        """Read a SavedModel's signatures, tags and ops in a child process.

        Args:
            target: A ref, or a path: with a `/`, or `.` or `..`.
            load: Load it too.
            load_timeout: How long that may take.
            load_memory: Bytes of memory that may take.

        Raises:
            SourceError: It is no SavedModel.
            ModelError: TensorFlow could not load it; `error.partial` holds what was read.
        """
        from modelrepo.repository import querying

        with border("inspect the model"):
            limits = querying.Limits(seconds(load_timeout), memory(load_memory))
            return querying.inspect(self._layout, target, limits if load else None)

    def promote(
        self,
        ref: str | Version,
        *,
        channel: str = LATEST,
        allow_breaking: bool = False,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> results.MoveResult:
        """Move a channel to a version.

        Others see the link name the old version or the new one, at every instant. On return the move is on the disk.

        Args:
            ref: Which version.
            channel: Which channel; a new one is made.
            allow_breaking: Let it break callers of the present target.
            reason: What the history says.
            dry_run: Only say what would happen.

        Raises:
            NotFoundError: There is no such version.
            RefusedError: It breaks callers.
            IntegrityError: The version's files are not what was pushed.
            UnconfirmedError: The link moved, and something after that is unfinished.
        """
        from modelrepo.repository import moving

        request = Request(parse_channel(channel), said(reason), allow_breaking)
        with border("promote"):
            return moving.promote(self._layout, parsed(ref), request, dry_run=dry_run, timeout=self._timeout)

    def rollback(
        self,
        *,
        channel: str = LATEST,
        steps: int | None = None,
        to: str | Version | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> results.MoveResult:
        """Move a channel back to where it was before; deletes nothing, needs no TensorFlow.

        Args:
            channel: Which channel.
            steps: How many targets back, 1 where neither this nor `to` is given; all or nothing.
            to: Back to the nearest place where the channel named this version.
            reason: What the history says.
            dry_run: Only say what would happen.

        Raises:
            RefusedError: There is nothing to roll back to.
            IntegrityError: The target is gone or damaged.
        """
        from modelrepo.repository import moving

        if steps is not None and to is not None:
            raise RequestError("steps and to exclude each other", kind="options-exclude")
        if steps is not None and steps < 1:
            raise RequestError("a rollback goes at least one step", kind="steps-malformed", expected=1, got=steps)
        request, target = Request(parse_channel(channel), said(reason)), None if to is None else parsed(to)
        with border("roll back"):
            return moving.rollback(
                self._layout, request, steps=steps or 1, to=target, dry_run=dry_run, timeout=self._timeout
            )

    def history(self, *, channel: str | None = None, limit: int | None = None) -> tuple[results.HistoryEntry, ...]:
        """What happened, the latest first.

        Args:
            channel: Only the moves of this channel.
            limit: At most this many.
        """
        from modelrepo.repository import querying

        with border("read the history"):
            name = None if channel is None else parse_channel(channel)
            return querying.history(self._layout, name, counted(limit))

    def status(self) -> results.Status:
        """Channels, where a rollback would lead, space, problems."""
        from modelrepo.repository import querying

        with border("read the status"):
            return querying.status(self._layout)

    def path(self, ref: str | Version) -> results.PathResult:
        """Where a version is. Resolve once and read below that path: a channel may move meanwhile."""
        from modelrepo.repository import querying

        with border("find the version"):
            return querying.path(self._layout, parsed(ref))

    def verify(
        self, refs: Sequence[str | Version] = (), *, quick: bool = False, repair: bool = False
    ) -> results.VerifyResult:
        """Check bytes, links, views and journal against what was promised.

        Args:
            refs: Only these versions; none for everything.
            quick: Read no bytes of models.
            repair: Mend views, the journal, modes, absolute links and dead staging first; never model bytes, never
                where
                a link leads.

        Returns:
            What was found; `ok` says whether anything is left wrong.
        """
        from modelrepo.repository import repairing, verifying

        with border("verify"):
            wanted = [parsed(ref) for ref in refs]
            repaired = repairing.repair(self._layout, self._timeout) if repair else ()
            return verifying.verify(self._layout, wanted, quick=quick, repaired=repaired)

    def pin(self, ref: str | Version, *, reason: str | None = None) -> results.PinResult:
        """Keep a version for ever."""
        from modelrepo.repository import pinning

        with border("pin"):
            return pinning.pin(self._layout, parsed(ref), said(reason), self._timeout)

    def unpin(self, ref: str | Version) -> results.PinResult:
        """Keep a version no longer than retention says."""
        from modelrepo.repository import pinning

        with border("unpin"):
            return pinning.unpin(self._layout, parsed(ref), self._timeout)

    def cleanup(
        self,
        *,
        keep_last: int | None = None,
        keep_rollback: int | None = None,
        min_age: timedelta | None = None,
        grace: timedelta | None = None,
        dry_run: bool = False,
    ) -> results.CleanupResult:
        """Delete the versions that retention lets go, and what crashed commands left behind.

        Args:
            keep_last: Keep the newest versions; None for the settings'. Likewise the others.
            keep_rollback: Keep rollback targets of each channel, at least 1.
            min_age: Keep what is younger.
            grace: Keep what a channel left less than this ago.
            dry_run: Only say what would go.

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
            return cleaning.cleanup(self._layout, rules, dry_run=dry_run, timeout=self._timeout)

    def serving_config(self, *, name: str | None = None, base_path: str | None = None) -> results.ServingConfig:
        """TensorFlow Serving's configuration for the channels of this repository.

        Args:
            name: The model's name; None for the root's.
            base_path: The root as the server sees it; None for the root.
        """
        from modelrepo.repository import querying

        with border("read the channels"):
            return querying.serving_config([self._layout], name, base_path)
