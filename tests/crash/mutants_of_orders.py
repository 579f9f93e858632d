"""Deliberate bugs: steps in another order than the one that keeps the promises, or left out."""

from __future__ import annotations

from .mutant import Change, Mutant

ORDERS = (
    Mutant(
        "settings get their name before their bytes are synced",
        "power cut: init",
        "ranker/.modelrepo/config.toml",
        (
            Change(
                "fs/durable.py",
                "    write_new(temporary, data, mode, synced=synced)\n    try:\n        os.rename(temporary, path)\n",
                "    temporary.touch()\n    temporary.chmod(mode)\n    temporary.write_bytes(data)\n    try:\n"
                "        os.rename(temporary, path)\n        set_mode(path, mode)\n",
            ),
        ),
    ),
    Mutant(
        "a version gets its number before its directories are synced",
        "power cut: push",
        "ranker/v4 is directory",
        (
            Change(
                "repository/pushing.py",
                "    copying.sync_directories(staged.directory, staged.listing)\n    while",
                "    while",
            ),
            Change(
                "repository/pushing.py",
                "        durable.rename_new(staged.directory, target)\n",
                "        durable.rename_new(staged.directory, target)\n"
                "        copying.sync_directories(target, staged.listing)\n",
            ),
        ),
    ),
    Mutant(
        "a push's outcome is written before its commit",
        "power cut: push",
        "v4 is not as the journal has it",
        (
            Change(
                "repository/pushing.py",
                "        writer.lock.check()\n        durable.rename_new(staged.directory, target)\n",
                '        writer.close(intent, "done")\n        durable.rename_new(staged.directory, target)\n',
            ),
        ),
    ),
    Mutant(
        "a move's outcome is written before its commit",
        "power cut: promote",
        "latest says v2, and the journal v3",
        (
            Change(
                "repository/moving.py",
                "        writer.lock.check()\n        ballast",
                '        writer.close(intent, "done")\n        ballast',
            ),
        ),
    ),
    Mutant(
        "no intent is written",
        "kill: push",
        "a number was used again, or left out",
        (
            Change(
                "repository/writing.py",
                "        line = self._journal.append(record)\n",
                '        if phase == "intent":\n            return record\n'
                "        line = self._journal.append(record)\n",
            ),
        ),
    ),
    Mutant(
        "a link is unlinked and made again",
        "kill: promote",
        "latest names something else",
        (
            Change(
                "fs/durable.py",
                "        _belong_link(temporary)\n        os.rename(temporary, path)\n",
                "        _belong_link(temporary)\n        path.unlink(missing_ok=True)\n"
                "        os.rename(temporary, path)\n",
            ),
        ),
    ),
    Mutant(
        "a deletion's outcome is written before its commit",
        "power cut: cleanup",
        "v3 is not as the journal has it",
        (
            Change(
                "repository/deleting.py",
                "        writer.lock.check()\n        durable",
                '        writer.close(intent, "done")\n        durable',
            ),
        ),
    ),
    Mutant(
        "the old number leaves a view before the new one is in it",
        "kill: promote",
        "serving/latest is empty",
        (
            Change(
                "repository/views.py",
                "    if version not in view.versions:\n        ballast",
                "    for old in view.versions - {version}:\n        durable.remove_link(path / str(old.number))\n"
                "    if version not in view.versions:\n        ballast",
            ),
        ),
    ),
    Mutant(
        "a view moves before its link",
        "power cut: promote",
        "the view of latest is ahead of its link",
        (
            Change(
                "repository/moving.py",
                "        writer.lock.check()\n        ballast",
                "        views.follow(writer, move.channel, move.to)\n        ballast",
            ),
        ),
    ),
    Mutant(
        "bytes are deleted before the root is synced",
        "power cut: cleanup",
        "ranker/v3/",
        (
            Change(
                "repository/deleting.py",
                "    durable_now = False\n    try:\n        durable.sync_directory(layout.trash)\n",
                "    durable_now = False\n    deletion.delete_tree(trash, top=layout.root)\n    try:\n"
                "        durable.sync_directory(layout.trash)\n",
            ),
        ),
    ),
    Mutant(
        "recovery completes a move that was begun",
        "kill: promote",
        "recovery moved a link",
        (
            Change(
                "repository/writing.py",
                "            self.close(intent, verdict, recovered=True)\n",
                '            if verdict == "aborted" and intent.action == "promote":\n'
                "                link = self.layout.channel(str(intent.channel))\n"
                "                durable.move_link(link, str(intent.to), self.temporary())\n"
                '                verdict = "done"\n'
                "            self.close(intent, verdict, recovered=True)\n",
            ),
        ),
    ),
    Mutant(
        "a record is appended behind an unfinished one",
        "power cut: a record in part",
        "journal-damaged",
        (
            Change(
                "fs/journal.py", "        self._end = parsed.end\n", "        self._end = parsed.end + parsed.torn\n"
            ),
        ),
    ),
)
