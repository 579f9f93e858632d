"""What every writing command does around its own work: lock, recover, record.

A change is intent → commit → outcome, each record synced, under the lock. Recovery comes first: it closes what an
earlier command left open, by what the tree says; it records what somebody moved by hand; it lets the views follow. It
never moves a channel.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelrepo.core.config import Config, Storage
from modelrepo.core.history import State, fold_lines, judge
from modelrepo.core.layout import Layout
from modelrepo.core.modes import Modes
from modelrepo.core.records import Action, Phase, Record
from modelrepo.core.units import parse_seconds
from modelrepo.errors import IntegrityError, SystemRefusedError, UnconfirmedError, from_os
from modelrepo.fs import ballast, durable, known, machine, native
from modelrepo.fs.journal import Journal
from modelrepo.fs.known import Known
from modelrepo.fs.locks import WriterLock
from modelrepo.fs.look import Tree, read_tree
from modelrepo.repository import opening, views
from modelrepo.repository import snapshot as reading

LOCK_SECONDS = 30.0

#: What a record that closes an intent says again.
_CLOSING = (
    *("channel", "origin", "to", "version", "token", "digest", "manifest_digest", "size", "files"),
    *("steps", "breaking", "allowed_ops", "reason"),
)


class Writer:
    """A writer that holds the lock and has recovered.

    Attributes:
        layout: Where.
        lock: The lock; check it before a commit.
        config: The settings.
        modes: The modes of what it makes.
        views_behind: The channels whose view recovery could not let follow, and why.
    """

    def __init__(self, layout: Layout, lock: WriterLock, journal: Known) -> None:
        self.layout = layout
        self.lock = lock
        self.config: Config = opening.open_config(layout)
        self.modes: Modes = self.config.modes
        if journal.parsed.damage is not None:
            raise opening.journal_damaged(layout, journal.parsed.damage)
        self._known = journal
        self._journal = Journal(layout.journal, layout.ballast, journal.parsed)
        self._state = journal.state
        self._crc = journal.crc
        self._tree: Tree | None = None
        self.views_behind: dict[str, OSError] = {}

    @property
    def state(self) -> State:
        """The journal's sum, with what this writer has recorded."""
        return self._state

    def snapshot(self) -> reading.Snapshot:
        """Look at the tree again, with the journal as it is now."""
        self._tree = read_tree(self.layout, self._tree)
        return reading.Snapshot(self.layout, self.config, self._tree, self._known.parsed, self._state, self._state)

    @property
    def known(self) -> Known | None:
        """The journal as this writer leaves it; None where nobody knows how it ends."""
        if not self._journal.is_whole:
            return None
        parsed = self._known.parsed.replaced(lines=self._journal.lines, torn=0)
        parsed = parsed.replaced(end=parsed.lines[-1].end)
        return Known(parsed, self._state, self._journal.stamp or self._known.stamp, self._crc)

    def index(self) -> None:
        """Write the journal's index, unless it is right as it is. Whatever comes of that, what was done is done."""
        found = self.known
        if found is not None and (found.stamp != self._known.stamp or not self._known.is_indexed):
            with contextlib.suppress(OSError):
                known.save(found, self.layout.index, self.temporary())

    def record(self, phase: Phase, action: Action, **fields: Any) -> Record:  # noqa: ANN401 - a record's fields
        """Append a record and sync it.

        Raises:
            IntegrityError: The lock file was removed or replaced, so that somebody else may be writing too.
        """
        self.lock.check()
        now = machine.now()
        values: dict[str, Any] = {"time": now.time, "actor": machine.actor(), **fields}
        record = Record(
            seq=self._journal.next_seq,
            boot=now.boot,
            uptime=now.uptime,
            phase=phase,
            action=action,
            prev=self._journal.head,
            **values,
        )
        line = self._journal.append(record)
        self._state = fold_lines([line], self._state)
        self._crc = zlib.crc32(line.raw, self._crc)
        return line.record

    def record_change(self, action: Action, **fields: Any) -> None:  # noqa: ANN401 - a record's fields
        """Append a record that is itself the change.

        Raises:
            OSError: It could not be written; nothing happened.
            UnconfirmedError: It stands in the journal, but whether on the disk is not known.
        """
        try:
            self.record("done", action, **fields)
        except OSError as error:
            if self._journal.is_whole:
                raise
            stands = self._journal.has_rest
            how = "stands in the journal" if stands else "was taken back, but nobody knows what is on the disk"
            raise UnconfirmedError(
                f"the {action} {how}: {from_os(error, 'sync it').message}",
                durable=False,
                view=None,
                recorded=stands,
                hint="mend the cause, look at `modelrepo status`, and say it again if need be",
            ) from error

    def settle(self) -> None:
        """Write the journal's end anew and sync it, unless a record of this writer has done so already.

        A command that finds nothing to change relies on what an earlier one wrote, whose sync may have failed.
        """
        self._journal.rewrite()

    def close(self, intent: Record, phase: Phase, *, recovered: bool | None = None) -> None:
        """Record an intent's outcome."""
        kept = {name: getattr(intent, name) for name in _CLOSING}
        if recovered:
            kept |= {"actor": intent.actor, "recorded_by": machine.actor()}
        self.record(phase, intent.action or "external", intent=intent.seq, recovered=recovered, **kept)

    def give_up(self, intent: Record) -> None:
        """Record that an intent's commit did not happen; where that fails too, the next writer's recovery does it."""
        with contextlib.suppress(OSError, IntegrityError):
            self.close(intent, "aborted")

    def temporary(self) -> Path:
        """A fresh name in staging."""
        return self.layout.staging / token("tmp")

    def recover(self) -> None:
        """Close, record and heal what others left. A view that cannot follow stops nothing else."""
        self._journal.trim()
        self._journal.sync()
        own_directories(self.layout, self.modes)
        durable.sync_directory(self.layout.root)
        durable.sync_directory(self.layout.state)  # whoever made the repository may have been killed before he did so
        tree = self._tree = read_tree(self.layout)
        last = self._known.parsed.lines[-1].record.channel
        if self._state.open is not None:
            intent = self._state.open
            if intent.action in {"cleanup", "remove"}:
                durable.sync_directory(self.layout.trash)
            elif intent.action == "channel-remove":  # the view that goes with it may be gone already, and not for good
                durable.sync_directory(self.layout.serving)
            verdict = judge(intent, reading.evidence(self.layout, tree, intent))
            self.close(intent, verdict, recovered=True)
        for name, version in tree.channels().items():
            stack = self._state.stacks.get(name, ())
            if version in self._state.stored and version is not None and stack[-1:] != (version,):
                link = tree.links[name]
                self.record(
                    "done",
                    "external",
                    channel=name,
                    origin=stack[-1] if stack else None,
                    to=version,
                    actor=machine.owner(link.owner),
                    time=datetime.fromtimestamp(link.changed, UTC),
                    recorded_by=machine.actor(),
                )
        for name, version in tree.channels().items():
            if version in self._state.stored and version is not None:
                try:
                    views.follow(self, name, version, anew=name == last)
                except OSError as error:  # `status` and `verify` name it; other channels have nothing to do with it
                    self.views_behind[name] = error
        for name in self._state.former - tree.channels().keys():
            with contextlib.suppress(OSError):  # `verify` names it
                views.drop(self, name)
        ballast.replenish(self.layout.ballast, self.modes)


def own_directories(layout: Layout, modes: Modes) -> None:
    """Make modelrepo's own directories again where a backup has lost the empty ones.

    Raises:
        IntegrityError: One of them is something else: what is done there would be done elsewhere.
    """
    opening.require_own(layout)
    made = False
    for path, mode in layout.own_directories(modes):
        if durable.make_directory(path, mode):
            durable.sync_directory(path)  # its mode
            made = True
    if made:
        durable.sync_directory(layout.state)


def token(prefix: str) -> str:
    """A fresh name for a directory in staging or trash."""
    return f"{prefix}-{secrets.token_hex(8)}"


@contextlib.contextmanager
def writing(
    layout: Layout, timeout: float | None, journal: Known | None = None, *, whole: bool = False
) -> Iterator[Writer]:
    """Hold the lock and recover.

    The journal is read before the lock is taken, so that under it only what came in between is read.

    Args:
        layout: Where.
        timeout: Seconds to wait for the lock; None for `MODELREPO_LOCK_TIMEOUT` or 30.
        journal: What is known of the journal.
        whole: Where nothing is known, read every line, whatever an index says.

    Raises:
        NoRepositoryError: There is none.
        BusyError: Somebody holds the lock.
        IntegrityError: The journal or the settings cannot be used.
        SystemRefusedError: The file system is none on which the promises hold.
    """
    config = opening.open_config(layout)
    check_file_system(layout.root, config.storage)
    opening.require_own(layout)
    journal = opening.open_known(layout, whole=whole) if journal is None else journal
    with WriterLock.hold(layout.lock, lock_seconds(timeout), config.modes.lock) as lock:
        writer = Writer(layout, lock, opening.follow(layout, journal))
        writer.recover()
        try:
            yield writer
            writer.settle()
        finally:
            ballast.take_back(layout.ballast)
            writer.index()


def lock_seconds(timeout: float | None, default: float = LOCK_SECONDS) -> float:
    """How long to wait for the lock: as asked, else as the environment says, else the default.

    Raises:
        RequestError: The environment's value is no duration.
    """
    if timeout is not None:
        return timeout
    text = os.environ.get("MODELREPO_LOCK_TIMEOUT", "")
    return parse_seconds(text) if text else default


def check_file_system(path: Path, storage: Storage) -> None:
    """Refuse to write where renames, syncs and locks are not known to keep the promises, unless somebody said so.

    Raises:
        SystemRefusedError: The file system is NFS, SMB, FUSE or unknown.
    """
    name, known = native.file_system(str(path))
    if not known and not storage.network_fs:
        raise SystemRefusedError(
            f"writing on a file system of type {name} is refused: {path}",
            kind="file-system",
            expected=", ".join(native.KNOWN_FILE_SYSTEMS.values()),
            got=name,
            hint="keep the repository on a local disk; reading works anywhere. Where less will do, `modelrepo init "
            "--allow-network-fs` makes a new one; an old one needs [storage] network_fs = true in config.toml",
        )
