"""Deliberate bugs: syncs that are left out, or believed though they failed."""

from __future__ import annotations

from .mutant import Change, Mutant

SYNCS = (
    Mutant(
        "a model's files are not synced",
        "power cut: push",
        "ranker/v4/",
        (
            Change(
                "fs/copying.py",
                "        for descriptor in self._waiting:\n            durable.sync(descriptor)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a large push's file system is not synced",
        "power cut: push of many files",
        "ranker/v4/",
        (
            Change(
                "fs/copying.py",
                "if not self._together or not native.sync_file_system(self._watch):",
                "if not self._together:",
            ),
        ),
    ),
    Mutant(
        "a manifest is not synced",
        "power cut: push",
        "ranker/v4/manifest.json is",
        (
            Change(
                "fs/durable.py",
                "        if synced:\n            sync(descriptor)\n    except BaseException:\n"
                "        os.unlink(name, dir_fd=above)",
                "    except BaseException:\n        os.unlink(name, dir_fd=above)",
            ),
        ),
    ),
    Mutant(
        "a version's directories below its top are not synced",
        "power cut: push",
        "ranker/v4/",
        (
            Change(
                "fs/copying.py",
                "        durable.sync_directory(top / directory)\n    durable",
                "        pass\n    durable",
            ),
        ),
    ),
    Mutant(
        "a version's top directory is not synced",
        "power cut: push",
        "ranker/v4 is directory",
        (Change("fs/copying.py", "    durable.sync_directory(top)\n", ""),),
    ),
    Mutant(
        "the root is not synced behind a push's rename",
        "power cut: push",
        "v4 is not as the journal has it",
        (Change("repository/pushing.py", "        durable.sync_directory(writer.layout.root)\n", ""),),
    ),
    Mutant(
        "the root is not synced behind a link's rename",
        "power cut: promote",
        "the view of latest is ahead of its link",
        (
            Change(
                "repository/moving.py",
                "        durable.sync_directory(writer.layout.root)\n    except",
                "        pass\n    except",
            ),
        ),
    ),
    Mutant(
        "the root is not synced behind the removal of a link",
        "power cut: channel remove",
        "the view of blue is ahead of its link",
        (Change("repository/channels.py", "            durable.sync_directory(layout.root)\n", ""),),
    ),
    # A rename is one step, which the sync of either directory settles: to leave out one of the two changes nothing that
    # could be seen.
    Mutant(
        "neither trash nor root is synced behind the rename into the trash",
        "power cut: cleanup",
        "v3 is not as the journal has it",
        (
            Change(
                "repository/deleting.py",
                "        durable.sync_directory(layout.trash)\n        durable.sync_directory(layout.root)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "the journal is not synced",
        "power cut: promote",
        "latest says v3, and the journal v2",
        (
            Change(
                "fs/journal.py",
                "            durable.sync(descriptor)\n            self._synced",
                "            self._synced",
            ),
        ),
    ),
    Mutant(
        "a view is not synced before its old number goes",
        "power cut: promote",
        "ranker/serving/latest is empty",
        (
            Change(
                "repository/views.py",
                "before he synced it\n        durable.sync_directory(path)\n",
                "before he synced it\n        pass\n",
            ),
        ),
    ),
    Mutant(
        "a first view is renamed in before it is synced",
        "power cut: first promote",
        "ranker/serving/canary is directory",
        (Change("repository/views.py", "            durable.sync_directory(staged)\n", ""),),
    ),
    Mutant(
        "recovery judges by a root that it has not synced",
        "power cut: recovery from a killed promote",
        "latest says v2, and the journal v3",
        (Change("repository/writing.py", "        durable.sync_directory(self.layout.root)\n", ""),),
    ),
    Mutant(
        "recovery builds on a journal that it has not synced",
        "power cut: recovery from a killed pin",
        "a record stands behind one that is not whole",
        (Change("repository/writing.py", "        self._journal.sync()\n", ""),),
    ),
    Mutant(
        "recovery takes an old number from a view whose new one it has not synced",
        "power cut: recovery from a killed promote",
        "ranker/serving/latest is empty",
        (
            Change(
                "repository/views.py",
                "    if stale or version not in view.versions:",
                "    if version not in view.versions:",
            ),
        ),
    ),
    Mutant(
        "recovery does not sync that a removed channel's view is gone",
        "power cut: recovery from a killed channel remove",
        "ranker/serving/blue is",
        (
            Change(
                "repository/writing.py",
                "                durable.sync_directory(self.layout.serving)\n",
                "                pass\n",
            ),
        ),
    ),
    Mutant(
        "a sync that failed is tried again, and believed",
        "error: each sync of a promote",
        "it said 0, and this is not synced",
        (
            Change(
                "fs/durable.py",
                "    native.sync(descriptor)\n",
                "    try:\n        native.sync(descriptor)\n    except OSError:\n        native.sync(descriptor)\n",
            ),
        ),
    ),
)
