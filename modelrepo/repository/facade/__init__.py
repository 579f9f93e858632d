"""`Repository`: a method per command, the same words and results as the command line. It never prints or exits.

Its methods stand by what they do: `storing`, `converting`, `releasing`, `asking`.
"""

from __future__ import annotations

from modelrepo.repository.facade.asking import Asking
from modelrepo.repository.facade.converting import Converting
from modelrepo.repository.facade.releasing import Releasing
from modelrepo.repository.facade.storing import Storing

__all__ = ["Repository"]


class Repository(Storing, Converting, Releasing, Asking):
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
