"""`init --adopt`: taking over a hand-made tree of `vN` directories and the links that name them.

Everything is looked at and read before anything is written. Then each version gets its manifest, the journal begins
with one record per version and link, and the settings are renamed in last: that makes it a repository. Interrupted
before that, it is none yet, and running it again goes on: a manifest that is there already is checked, and kept.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from modelrepo.core import modes
from modelrepo.core.layout import STATE, SYSTEM_ENTRIES, Layout
from modelrepo.core.records import Chain
from modelrepo.core.refs import Version
from modelrepo.errors import BusyError, IntegrityError, ModelRepoError, UnconfirmedError, told
from modelrepo.fs import durable, look, machine
from modelrepo.repository import initializing, repairing
from modelrepo.repository import snapshot as reading
from modelrepo.repository.border import border
from modelrepo.repository.opening import open_known, require_directory
from modelrepo.repository.progress import Progress
from modelrepo.repository.results import InitResult
from modelrepo.repository.sharing import Founding
from modelrepo.repository.surveying import Found, Survey
from modelrepo.repository.writing import token, writing

_UNREAD = "TensorFlow is not installed here: nothing was scanned, nor were signatures read"


def adopt(layout: Layout, timeout: float | None, founding: Founding, progress: Progress | None) -> InitResult:
    """Make a repository of a hand-made tree; in a repository, take over the `vN` that are foreign to it.

    Raises:
        RefusedError: Something stands in the way; nothing was changed.
        UnconfirmedError: It is adopted, and something after that is unfinished.
    """
    require_directory(layout.state)
    if os.path.lexists(layout.config):
        return _later(layout, timeout, founding, progress)
    if not layout.root.is_dir() or not set(os.listdir(layout.root)) - SYSTEM_ENTRIES - {STATE}:
        return initializing.init(layout, timeout, founding)  # there is nothing to adopt
    initializing.refuse_place(layout)
    _refuse_other_history(layout)
    survey = Survey(layout, look.read_tree(layout))
    if not survey.tree.versions:
        initializing.refuse_contents(layout)
    survey.links()
    survey.numbers()
    _serving(survey)
    found = survey.versions(survey.tree.versions, progress)
    survey.refuse()
    with initializing.making(layout, timeout, founding) as is_new:
        if not is_new:  # somebody else was faster
            return initializing.whole(layout, founding)
        _require_unchanged(survey, found)
        for each in found:
            _put_manifest(layout, each)
        result = _result(layout, found, survey, created=True)
        initializing.build(
            layout, founding, _begin(survey, found), result, view=False if survey.tree.channels() else None
        )
    return _settled(layout, timeout, result)


def _later(layout: Layout, timeout: float | None, founding: Founding, progress: Progress | None) -> InitResult:
    """Take over foreign versions of a repository, each by one record."""
    snapshot = reading.take(layout, whole=True, lines=True)
    snapshot.require_journal()
    survey = Survey(layout, snapshot.tree)
    foreign = snapshot.tree.versions - snapshot.present
    spent = {line.record.version.number for line in snapshot.parsed.lines if line.record.version is not None}
    spent.update(look.gone_numbers(layout))
    survey.problems += [
        f"{version}: this number was used before, and none is used twice: move it away, and push it"
        for version in sorted(foreign)
        if version.number in spent
    ]
    survey.numbers()
    found = survey.versions(foreign, progress)
    survey.refuse()
    adopted: list[Found] = []
    for each in found:
        try:
            with border(f"adopt {each.version}"):
                _record(layout, timeout, each)
        except ModelRepoError as error:
            error.partial = _result(layout, adopted, survey, created=False)
            raise
        adopted.append(each)
    result = _result(layout, adopted, survey, created=False)
    whole = initializing.whole(layout, founding)
    result = result.replaced(warnings=(*result.warnings, *whole.warnings))
    absolute = any(
        link.is_channel and link.version is not None and not link.relative for link in snapshot.tree.links.values()
    )
    return _settled(layout, timeout, result) if adopted or absolute else result


def _record(layout: Layout, timeout: float | None, found: Found) -> None:
    """Take over one version."""
    with writing(layout, timeout) as writer:
        there = look.read_tree(layout).versions
        if found.version in writer.state.stored or found.version not in there or not found.is_unchanged(layout):
            raise _changed([found.version])
        _put_manifest(layout, found)
        writer.record_change("adopt", **_facts(found))


def _refuse_other_history(layout: Layout) -> None:
    """A journal without settings is of an adoption that was interrupted, or of a repository that lost them.

    Raises:
        IntegrityError: It is the latter: what it says besides would be lost.
    """
    if look.kind_at(layout.journal) is None:
        return
    parsed = open_known(layout, whole=True, lines=True).parsed
    if not initializing.is_of_adoption(parsed):
        raise IntegrityError(
            f"{layout.config} is gone, but {layout.journal} holds a history",
            kind="config-missing",
            hint="put config.toml back from a backup; or move the journal away to adopt the versions without it",
        )


def _serving(survey: Survey) -> None:
    """`serving/` may stand there only as modelrepo makes it: so a server may read on while lost state is made anew."""
    path = survey.layout.serving
    views = look.read_views(survey.layout).values()
    is_own = path.is_dir() and not path.is_symlink() and all(view.own and not view.others for view in views)
    if os.path.lexists(path) and not is_own:
        survey.problems.append(f"{path.name} is a name that modelrepo keeps for itself: move it away")


def _require_unchanged(survey: Survey, found: Sequence[Found]) -> None:
    now = look.read_tree(survey.layout)
    changed = [each.version for each in found if not each.is_unchanged(survey.layout)]
    changed += sorted(now.versions ^ survey.tree.versions)
    if changed or now.links != survey.tree.links:
        raise _changed(changed)


def _changed(versions: Sequence[Version]) -> BusyError:
    names = ", ".join(map(str, versions)) or "a link"
    return BusyError(
        f"{names} changed while the tree was read",
        kind="changing",
        hint="run it again when nobody writes there",
    )


def _put_manifest(layout: Layout, found: Found) -> None:
    """Write a version's manifest, unless it is there already, and sync it."""
    path = layout.manifest(found.version)
    if found.listing.manifest is None:
        temporary = layout.staging / token("manifest")
        durable.write_new(temporary, found.raw, modes.FILE)
        durable.rename_new(temporary, path)
    durable.sync_directory(path.parent)


def _facts(found: Found) -> dict[str, object]:
    """What the journal says of an adopted version."""
    return {
        "version": found.version,
        "digest": found.manifest.digest,
        "manifest_digest": found.manifest_digest,
        "size": found.manifest.size,
        "files": len(found.manifest.files),
    }


def _begin(survey: Survey, found: Sequence[Found]) -> Chain:
    """The journal's first lines: the versions, and where the links lead."""
    actor = machine.actor()
    chain = Chain(machine.now(), actor)
    chain.add(phase="start", highest=max(look.used_numbers(survey.layout), default=0))
    for each in found:
        chain.add(action="adopt", **_facts(each))
    for name, target in survey.tree.channels().items():
        link = survey.tree.links[name]
        chain.add(
            action="external",
            channel=name,
            to=target,
            actor=machine.owner(link.owner),
            time=datetime.fromtimestamp(link.changed, UTC),
            recorded_by=actor,
        )
    return chain


def _settled(layout: Layout, timeout: float | None, result: InitResult) -> InitResult:
    """Let the views follow, and give links that name a version absolutely the form that survives a move.

    Raises:
        UnconfirmedError: Something of that is unfinished.
    """
    try:
        with writing(layout, timeout) as writer:
            for _ in repairing.links(writer):
                pass
        for behind in writer.views_behind.values():
            raise behind
    except (OSError, ModelRepoError) as error:
        raise UnconfirmedError(
            f"the versions are adopted, but {told(error, 'let links and views follow')}",
            durable=True,
            view=False,
            recorded=True,
            hint="mend the cause; `modelrepo verify --repair` completes it",
            partial=result,
        ) from error
    return result


def _result(layout: Layout, found: Sequence[Found], survey: Survey, *, created: bool) -> InitResult:
    return InitResult(
        repo=str(layout.root),
        created=created,
        adopted=tuple(each.version for each in found),
        warnings=(*((_UNREAD,) if survey.unread and found else ()), *survey.warnings),
    )
