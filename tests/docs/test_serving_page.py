"""What docs/serving.md shows works: its terminal, its configuration, its shell lines, its YAML, its Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from modelrepo import Repository

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "serving.md").read_text()
#: The places of the page that stand for some in a scratch directory.
PLACES = re.compile(r"(?<![\w./-])/(models|srv)\b")
MARK = "\x1e"

#: Reads a configuration with the protocol buffer that TensorFlow Serving reads it with, in a process of its own.
READER = """
import json, sys
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2
config = text_format.Parse(sys.stdin.read(), model_server_config_pb2.ModelServerConfig())
json.dump({model.name: model.base_path for model in config.model_config_list.config}, sys.stdout)
"""


def blocks(language: str) -> list[str]:
    """The page's blocks of a language, without the indentation of a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def steps() -> Iterator[tuple[str, str]]:
    """The commands of all console blocks, in order, each with what the page says that it prints."""
    for block in blocks("console"):
        parts = re.split(r"^\$ (.*\n(?:> .*\n)*)", block, flags=re.MULTILINE)[1:]
        for command, printed in zip(parts[::2], parts[1::2], strict=True):
            yield re.sub(r"^> ", "", command, flags=re.MULTILINE), printed


def environment(place: Path, root: Path | None = None) -> dict[str, str]:
    """The environment with the program in its path, under its own name."""
    program = place / "bin" / "modelrepo"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nPYTHONPATH='{TOP}' exec '{sys.executable}' -m modelrepo \"$@\"\n")
    program.chmod(0o755)
    own = {"MODELREPO_REPO": str(root)} if root else {}
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", **own}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the whole page was run, in one bash; `printed` is what each command printed."""
    place = tmp_path_factory.mktemp("page")
    for name in ("models", "srv"):
        (place / name).mkdir()
    # Behind each command a mark, with `$?` left as it was.
    after = "(code=$?; printf '\\036'; exit $code)\n"
    script = "".join(PLACES.sub(rf"{place}/\1", command) + after for command, _ in steps())
    done = subprocess.run(
        ["bash", "--norc"],
        check=True,
        input=f"exec 2>&1\n{script}",
        stdout=subprocess.PIPE,
        text=True,
        cwd=TOP,
        env=environment(place),
        timeout=300,
    )
    printed = re.sub(rf"{re.escape(str(place))}/(models|srv)\b", r"/\1", done.stdout)
    (place / "printed").write_text(printed)
    return place


@pytest.mark.tensorflow
def test_the_terminal_shows_what_is_printed(scratch: Path) -> None:
    *printed, rest = (scratch / "printed").read_text().split(MARK)
    expected = list(steps())
    assert len(expected) > 20
    for (command, shown), was in zip(expected, printed, strict=True):
        assert was == shown, command
    assert rest == ""


@pytest.mark.tensorflow
def test_the_configuration_is_what_the_server_reads_and_its_base_paths_hold_one_version(scratch: Path) -> None:
    pytest.importorskip("tensorflow_serving")
    config = (scratch / "srv" / "serving" / "models.config").read_text()
    done = subprocess.run(
        [sys.executable, "-c", READER], input=config, check=True, capture_output=True, text=True, timeout=60
    )
    models: dict[str, str] = json.loads(done.stdout)
    assert {name: [path.name for path in Path(base).iterdir()] for name, base in models.items()} == {
        "ranker": ["1"],
        "fraud": ["1"],
    }
    # The configuration that the page shows is the one of the page's own places.
    shown = next(printed for command, printed in steps() if command.startswith("cat "))
    done = subprocess.run(
        [sys.executable, "-c", READER], input=shown, check=True, capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout) == {"ranker": "/models/ranker/serving/latest"}


@pytest.mark.tensorflow
def test_the_python_reads_the_model(scratch: Path) -> None:
    (script,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", PLACES.sub(rf"{scratch}/\1", script)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TOP), "TF_CPP_MIN_LOG_LEVEL": "2"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"v1 \[.*'serving_default'.*\]\n", done.stdout)


def test_the_shell_lines_are_shell() -> None:
    shell = blocks("sh")
    assert len(shell) >= 4
    for block in shell:
        assert subprocess.run(["bash", "-n"], check=False, input=block, text=True, timeout=60).returncode == 0, block


class _Server(BaseHTTPRequestHandler):
    """Says of a model what TensorFlow Serving says while it goes from version 1 to version 2."""

    told = (("1", "AVAILABLE"), ("2", "LOADING"), ("2", "AVAILABLE"))
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        version, state = self.told[min(len(self.asked), 2)]
        self.asked.append(self.path)
        answer = {"model_version_status": [{"version": version, "state": state, "status": {"error_code": "OK"}}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_the_wait_for_a_promote_ends_when_the_server_has_what_the_link_names(
    filled: Repository, tmp_path: Path
) -> None:
    if shutil.which("jq") is None or shutil.which("curl") is None:
        pytest.skip("jq and curl are not both installed")
    filled.promote("v2")
    (wait,) = [block for block in blocks("sh") if "until curl" in block]
    with HTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        script = wait.replace("localhost:8501", f"127.0.0.1:{server.server_port}").replace("sleep 1", "sleep 0")
        subprocess.run(["bash", "-c", script], check=True, env=environment(tmp_path, filled.root), timeout=60)
        server.shutdown()
    assert _Server.asked == ["/v1/models/ranker"] * 3


def find(value: Any, key: str) -> Iterator[Any]:
    """All that stands under a key, at any depth."""
    if isinstance(value, dict):
        for name, below in value.items():
            if name == key:
                yield below
            yield from find(below, key)
    elif isinstance(value, list):
        for below in value:
            yield from find(below, key)


def test_the_yaml_mounts_whole_roots_and_reads_only_what_is_served() -> None:
    yaml = pytest.importorskip("yaml")
    deployment, cronjob = (yaml.safe_load(block) for block in blocks("yaml"))
    assert (deployment["kind"], cronjob["kind"]) == ("Deployment", "CronJob")
    for document in (deployment, cronjob):
        (pod,) = find(document, "containers")
        (volumes,) = find(document, "volumes")
        mounts = {mount["name"] for container in pod for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in volumes}
        assert list(find(document, "runAsNonRoot")) == [True]
        assert not list(find(document, "fsGroup"))
    (mounts,) = find(deployment, "volumeMounts")
    assert {mount["mountPath"]: mount["readOnly"] for mount in mounts} == {"/models/ranker": True, "/srv/serving": True}
    (args,) = find(deployment, "args")
    assert args[0] == "--model_config_file=/srv/serving/models.config"
    labels = [next(find(deployment, "matchLabels")), next(find(cronjob, "matchLabels"))]
    assert labels[0] == labels[1] == deployment["spec"]["template"]["metadata"]["labels"]
