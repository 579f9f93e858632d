"""Who reads in a container keeps its version from a cleanup outside: by a lease always, by open files where seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.errors import RefusedError

Container = Any
#: Where the repository stands in there, as in conftest.py.
INSIDE = "/models/ranker"
_READ = "sh -c 'echo ready; read line; cat assets.extra/note.txt'"
LEASES = {
    "exec": f'exec $MODELREPO exec latest -- sh -c \'cd "$MODELREPO_PATH"; exec "$@"\' sh {_READ}',
    "shell": f"(cd -P {INSIDE}/latest && exec flock -s . {_READ})",
}
#: A process that has a file open and holds no lease, as a model server that maps its files.
_OPEN = f"exec 3<{INSIDE}/latest/saved_model.pb; cd /; echo ready; read line; wc -c <&3"


def reasons(repository: Repository) -> dict[str, tuple[str, ...]]:
    return {str(kept.version): kept.reasons for kept in repository.cleanup().kept}


@pytest.mark.parametrize("form", LEASES)
def test_a_lease_taken_in_there_keeps_cleanup_and_remove_outside_from_the_version(
    live: Repository, container: Container, v2_may_go: Callable[[], None], form: str
) -> None:
    reader = container.start(LEASES[form])
    v2_may_go()
    assert "leased" in reasons(live)["v2"]
    assert live.cleanup().removed == ()
    with pytest.raises(RefusedError):
        live.remove(["v2"])
    assert reader.communicate("go\n", timeout=60)[0] == "two"
    assert live.cleanup().removed == (Version(2),)


@pytest.mark.parametrize("form", LEASES)
def test_a_lease_is_respected_also_by_a_cleanup_that_cannot_see_its_process(
    container: Container, v2_may_go: Callable[[], None], form: str
) -> None:
    """Another container, with processes of its own, as a Kubernetes CronJob on the same node."""
    reader = container.start(LEASES[form])
    v2_may_go()
    done = container.modelrepo("--json", "cleanup", user=0, options="rw")
    kept = {entry["version"]: entry for entry in json.loads(done.stdout)["kept"]}
    assert kept["v2"]["reasons"] == ["leased"]
    assert kept["v2"]["by"] == ["somebody who cannot be seen from here"]
    assert reader.communicate("go\n", timeout=60)[0] == "two"


def test_an_open_file_without_a_lease_is_seen_from_the_host_and_not_from_another_container(
    live: Repository, container: Container, v2_may_go: Callable[[], None]
) -> None:
    reader = container.start(_OPEN)
    v2_may_go()
    assert reasons(live)["v2"] == ("in-use",)
    done = container.modelrepo("--json", "cleanup", user=0, options="rw")
    assert "v2" in json.loads(done.stdout)["removed"]
    assert int(reader.communicate("go\n", timeout=60)[0]) > 0  # what is open stays readable


def test_the_reader_is_named_from_the_host(
    live: Repository, container: Container, v2_may_go: Callable[[], None]
) -> None:
    container.start(LEASES["exec"])
    v2_may_go()
    by = {str(kept.version): kept.by for kept in live.cleanup().kept}["v2"]
    assert any("read line" in name for name in by), by
