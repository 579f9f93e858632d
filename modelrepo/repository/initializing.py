"""`init`: making a repository, or finishing one that was interrupted.

The settings file is renamed in last: it is the repository. Before that, nothing there counts as one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from modelrepo.core.layout import STATE, SYSTEM_ENTRIES, Layout
from modelrepo.core.modes import PRIVATE
from modelrepo.core.records import Chain, Parsed
from modelrepo.core.refs import Version
from modelrepo.errors import IntegrityError, RefusedError, UnconfirmedError, told
from modelrepo.fs import ballast, durable, machine
from modelrepo.fs.locks import WriterLock
from modelrepo.fs.look import device, kind_at
from modelrepo.repository.opening import open_config, open_known, require_directory
from modelrepo.repository.results import InitResult
from modelrepo.repository.sharing import ALONE, Founding, require_member
from modelrepo.repository.writing import check_file_system, lock_seconds, own_directories, token

_NAMED = 5


def init(layout: Layout, timeout: float | None, founding: Founding = ALONE) -> InitResult:
    """Make a repository in a missing or empty directory; on a whole one change nothing.

    Args:
        layout: Where.
        timeout: Seconds to wait for the lock.
        founding: What it shall be; on a whole one, what is otherwise is said.

    Raises:
        RefusedError: The directory holds something else, is no directory, or lies inside another repository.
        IntegrityError: It is a repository that lost its settings, or of a newer format.
        SystemRefusedError: The file system, or a group that this user is not in.
        UnconfirmedError: It is made, but perhaps not yet on the disk.
    """
    require_directory(layout.state)
    if os.path.lexists(layout.config):
        return whole(layout, founding)
    refuse_place(layout)
    if layout.root.is_dir():
        refuse_contents(layout)
    with making(layout, timeout, founding) as is_new:
        if not is_new:
            return whole(layout, founding)
        refuse_contents(layout)
        _refuse_history(layout)
        chain = Chain(machine.now(), machine.actor())
        chain.add(phase="start", highest=0)
        result = InitResult(repo=str(layout.root), created=True)
        build(layout, founding, chain, result)
    return result


@contextlib.contextmanager
def making(layout: Layout, timeout: float | None, founding: Founding) -> Iterator[bool]:
    """Hold the lock of what will be a repository, its own directories made; False where it has been made meanwhile."""
    existing = next(path for path in (layout.root, *layout.root.parents) if path.exists())
    config = founding.config
    check_file_system(existing, config.storage)
    if founding.group is not None:
        require_member(founding.group)
    if device(existing) == device(existing.parent):
        with contextlib.suppress(PermissionError):  # whoever made it may have been killed before he synced its name
            durable.sync_directory(existing.parent)
    _make_parents(layout.root, existing)
    if founding.group is not None:
        founding.give(layout, layout.root, config.modes.directory)  # first: what is made below it then has its group
    if durable.make_directory(layout.state, config.modes.directory):
        durable.sync_directory(layout.root)  # before anything lies beside it that would be taken for somebody else's
    with WriterLock.hold(layout.lock, lock_seconds(timeout), config.modes.lock):
        is_new = not os.path.lexists(layout.config)
        if is_new:
            own_directories(layout, config.modes)
            for directory, mode in layout.own_directories(config.modes):
                founding.give(layout, directory, mode)
                durable.sync_directory(directory)  # also the mode that somebody gave it who was killed then
            founding.give(layout, layout.lock, config.modes.lock)
        yield is_new


def whole(layout: Layout, founding: Founding) -> InitResult:
    """What is said of a repository that is there already; whoever made it may have been killed before it was synced."""
    durable.sync_directory(layout.state)
    durable.sync_directory(layout.root)  # an adoption gives links another form behind that
    warnings = tuple(founding.differences(layout, open_config(layout)))
    return InitResult(repo=str(layout.root), created=False, warnings=warnings)


def refuse_place(layout: Layout) -> None:
    """Refuse what is no directory, and a place inside another repository, with a `RefusedError`."""
    if os.path.lexists(layout.root) and not layout.root.is_dir():
        raise RefusedError(f"{layout.root} is not a directory", kind="not-a-directory")
    for parent in layout.root.parents:
        if Layout(parent).config.exists():
            raise RefusedError(
                f"{layout.root} lies inside the repository {parent}",
                kind="inside-repository",
                hint="a repository holds the versions of one model; make another one beside it",
            )


def refuse_contents(layout: Layout) -> None:
    """Refuse a directory that holds something, and say what can be done with it.

    Raises:
        RefusedError: It does.
        IntegrityError: It is a repository that lost its settings.
    """
    serving = layout.serving
    names = {name for name in os.listdir(layout.root) if name not in SYSTEM_ENTRIES and name != STATE}
    if serving.name in names and serving.is_dir() and layout.state.is_dir() and not os.listdir(serving):
        names.discard(serving.name)
    if not names:
        return
    _refuse_history(layout)
    named = ", ".join(ascii(name)[1:-1] for name in sorted(names)[:_NAMED])
    hint = "make the repository in a new directory and push the models into it"
    if any(Version.from_name(name) is not None for name in names):
        hint = (
            f"`modelrepo --repo {layout.root} init --adopt` takes over the vN directories and the links that name them"
        )
    elif any(name.isascii() and name.isdecimal() for name in names):
        hint = f"numbered for TensorFlow Serving? This takes it in: {numeric_loop(layout)}"
    raise RefusedError(
        f"{layout.root} is not empty",
        kind="not-empty",
        expected="a missing or empty directory",
        got=named + (", …" if len(names) > _NAMED else ""),
        hint=hint,
    )


def numeric_loop(layout: Layout) -> str:
    """The shell's way to take a numeric tree in: each number keeps its number, in a repository beside it."""
    old, new = shlex.quote(str(layout.root)), shlex.quote(f"{layout.root}.repository")
    push = f'modelrepo --repo {new} push --init --allow-duplicate --number "$n" {old}/"$n"'
    return f"for n in $(ls {old} | grep -x '[0-9]*' | sort -n); do {push}; done"


def _refuse_history(layout: Layout) -> None:
    """A journal with more than its first line belonged to a repository that lost its settings."""
    if kind_at(layout.journal) is None:
        return
    parsed = open_known(layout, whole=True, lines=True).parsed
    if is_of_adoption(parsed) and len(parsed.lines) > 1:
        raise IntegrityError(
            f"an adoption of {layout.root} was interrupted, or runs now",
            kind="config-missing",
            hint=f"`modelrepo --repo {layout.root} init --adopt` goes on",
        )
    if len(parsed.lines) != 1 or parsed.torn or parsed.damage is not None:
        raise IntegrityError(
            f"{layout.config} is gone, but {layout.journal} holds a history",
            kind="config-missing",
            hint="put config.toml back from a backup; `docs/design.md` lists its keys",
        )


def is_of_adoption(parsed: Parsed) -> bool:
    """Whether a journal says nothing but what an adoption writes."""
    own = all(line.record.phase == "start" or line.record.action in {"adopt", "external"} for line in parsed.lines)
    return own and not parsed.torn and parsed.damage is None


def _make_parents(path: Path, existing: Path) -> None:
    missing = [place for place in (path, *path.parents) if place != existing and existing in place.parents]
    for place in reversed(missing):
        if durable.make_directory(place, PRIVATE.directory, inherit=False):
            durable.sync_directory(place.parent)


def build(layout: Layout, founding: Founding, journal: Chain, result: InitResult, *, view: bool | None = None) -> None:
    """Write what makes the directory a repository, the settings last. Its own directories are there.

    Args:
        layout: Where.
        founding: What it shall be.
        journal: Its first records.
        result: What is done then.
        view: How far the views are then; None where there are none.

    Raises:
        UnconfirmedError: It is a repository, but perhaps not yet on the disk.
    """
    modes = founding.config.modes
    durable.replace_file(layout.journal, journal.data, modes.state, layout.staging / token("journal"))
    ballast.replenish(layout.ballast, modes, comfort=ballast.PIECES * ballast.PIECE_BYTES * 8)
    if layout.ballast.is_dir():
        founding.give(layout, layout.ballast, modes.directory)
        durable.sync_directory(layout.ballast)
    durable.sync_directory(layout.staging)
    durable.sync_directory(layout.root)
    try:
        durable.replace_file(layout.config, founding.text.encode(), modes.state, layout.staging / token("config"))
    except OSError as error:
        if not os.path.lexists(layout.config):
            raise
        raise UnconfirmedError(
            f"{layout.root} is a repository now, but {told(error, 'sync that to the disk')}",
            durable=False,
            view=view,
            recorded=True,
            hint="mend the cause; the next writing command completes it",
            partial=result,
        ) from error
