"""Deliberate bugs: what is protected, counted, looked at or kept ready is not."""

from __future__ import annotations

from .mutant import Change, Mutant

RULES = (
    Mutant(
        "a number that only an intent has is given again",
        "kill: push",
        "a number was used again",
        (
            Change(
                "core/history.py",
                "        self.highest = max(self.highest, record.highest or 0, *numbers)\n"
                '        if record.phase == "intent":\n            self.open = record\n            return\n',
                '        if record.phase == "intent":\n            self.open = record\n            return\n'
                '        if record.phase != "aborted":\n'
                "            self.highest = max(self.highest, record.highest or 0, *numbers)\n",
            ),
        ),
    ),
    Mutant(
        "no cleanup looks for what was made of versions that are gone",
        "kill: remove of what is kept",
        "left of versions that are gone",
        (Change("repository/cleaning.py", "        derived.take_left(writer, run.trouble)\n", ""),),
    ),
    Mutant(
        "a rollback counts as one more move",
        "kill: rollback, and back again",
        "rollbacks lead to",
        (
            Change(
                "core/history.py",
                '        if record.action == "rollback":\n            # The target stands',
                "        if False:\n            # The target stands",
            ),
        ),
    ),
    Mutant(
        "cleanup goes by the plan that it made without the lock",
        "frozen: cleanup, promoted",
        "latest leads to what is not whole",
        (
            Change(
                "repository/cleaning.py",
                "        if kept.version == version:\n            run.stayed",
                "        if kept.version == version and version not in run.proposal.going:\n            run.stayed",
            ),
        ),
    ),
    Mutant(
        "a version in use is deleted",
        "frozen: cleanup, opened",
        "v3 was opened, and is gone",
        (
            Change(
                "repository/planning.py",
                "        users = [names[process] for process in use.by.get(version, ())]\n",
                "        users: list[str] = []\n",
            ),
        ),
    ),
    Mutant(
        "a lease stops no deletion",
        "frozen: cleanup, leased",
        "v3 was leased, and is gone",
        (
            Change(
                "fs/locks.py",
                "        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)\n",
                "        if not exclusive:\n            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
            ),
        ),
    ),
    Mutant(
        "what lies in the trash is deleted without a second `flock`",
        "frozen: cleanup, leased in the trash",
        "v3 is leased",
        (
            Change(
                "repository/deleting.py",
                "    return _each(layout.trash, names, trouble, lambda path: "
                "deletion.delete_tree(path, top=layout.root))",
                "    for name in names:\n        deletion.delete_tree(layout.trash / name, top=layout.root)\n"
                "    return list(names)",
            ),
        ),
    ),
    Mutant(
        "the sweep of staging takes what a push holds",
        "frozen: push, cleanup",
        "a frozen push was swept away",
        (
            Change(
                "repository/deleting.py",
                "    _each(layout.staging, names, trouble, lambda path: durable.rename_new(path, layout.trash / "
                'token("staging")))\n',
                "    for name in names:\n"
                '        durable.rename_new(layout.staging / name, layout.trash / token("staging"))\n',
            ),
        ),
    ),
    Mutant(
        "nobody waits for the writers' lock",
        "frozen: promote, promote",
        "was changed by somebody else while the lock was held",
        (
            Change(
                "fs/locks.py",
                "            lock.acquire()\n",
                "            held._acquired(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))\n",
            ),
        ),
    ),
    Mutant(
        "a push's rename replaces an empty directory",
        "frozen: push, the name is taken",
        "it took a name that was not free",
        (
            Change(
                "fs/durable.py",
                "    if native.rename_noreplace(str(old), str(new)):\n        return\n    if os.path.lexists(new):\n"
                "        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))\n",
                "",
            ),
        ),
    ),
    Mutant(
        "digests are taken from a second look at the source",
        "frozen: push, the source changes",
        "v4 has other bytes than its manifest says",
        (
            Change(
                "repository/pushing.py",
                "import dataclass, field\n",
                "import dataclass, field, replace\n",
            ),
            Change(
                "repository/pushing.py",
                "    manifest, raw = _write_manifest(staged, place, options, digest, guess)\n",
                "    looked = [hashlib.sha256((place / each.path).read_bytes()).hexdigest() for each in staged.files]\n"
                "    files = [\n        FileEntry(path=each.path, size=each.size, digest='sha256:' + found)\n"
                "        for each, found in zip(staged.files, looked, strict=True)\n    ]\n"
                "    staged = replace(staged, files=tuple(files))\n    digest = content_digest(staged.files)\n"
                "    manifest, raw = _write_manifest(staged, place, options, digest, guess)\n",
            ),
        ),
    ),
    Mutant(
        "the same content is trusted unread",
        "damage: a flipped byte, pushed again",
        "the push names v3, which is damaged",
        (
            Change(
                "repository/pushing.py", "problems = checking.damage(reading.take(layout), version)", "problems = ()"
            ),
        ),
    ),
    Mutant(
        "ballast is not given up on a full disk",
        "error: a full disk",
        "no rollback on a full disk",
        (Change("fs/ballast.py", "error.errno not in _FULL or not _give_up_one(directory)", "True"),),
    ),
    Mutant(
        "no blocks are reserved ahead of the journal",
        "error: a full disk, no ballast",
        "on a full disk",
        (
            Change(
                "fs/journal.py",
                "                    native.preallocate(descriptor, status.st_size + _AHEAD_BYTES)",
                "                    pass",
            ),
        ),
    ),
)
