"""TensorFlow Serving's configuration, read back by the real protocol buffer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelrepo.core.serving import model_name, server_config

#: Reads documents with the protocol buffer that TensorFlow Serving reads them with. In a process of its own, because
#: the module leaves an imitation of TensorFlow's package behind.
READER = """
import json, sys
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2
answers = []
for text in json.load(sys.stdin):
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    models = config.model_config_list.config
    answers.append([[model.name, model.base_path, model.model_platform] for model in models])
json.dump(answers, sys.stdout)
"""

ODD = [
    "ranker",
    "",
    " ",
    'quo"te',
    "quo'te",
    '"',
    "\\",
    "back\\slash\\",
    "\\n",
    "\\101",
    "new\nline",
    "\r\n\t\0",
    "\x01" + "7",
    "\x7f",
    "caf\u00e9",
    "\u6570\u5b57",
    "\U0001f600",
    "# no comment",
    "} config { name: 'evil' }",
    "/models/../x",
    "%s {0} $HOME",
]


def read_back(texts: list[str]) -> list[list[list[str]]]:
    pytest.importorskip("tensorflow_serving")
    done = subprocess.run(
        [sys.executable, "-c", READER], input=json.dumps(texts), check=True, capture_output=True, text=True, timeout=60
    )
    answers: list[list[list[str]]] = json.loads(done.stdout)
    return answers


def test_every_name_and_path_comes_back_from_the_real_protocol_buffer_as_it_was() -> None:
    every = ["".join(map(chr, range(start, start + 64))) for start in range(0, 0x600, 64)]
    names = [*ODD, *every]
    pairs = [(name, path) for name in names for path in (f"/models/{name}", name)]
    texts = [server_config([pair]) for pair in pairs] + [server_config(pairs)]
    expected = [[[name, path, "tensorflow"]] for name, path in pairs]
    assert read_back(texts) == [*expected, [model for models in expected for model in models]]


def test_no_models_are_an_empty_list() -> None:
    assert read_back([server_config([])]) == [[]]


def test_the_document_is_printable_ascii_in_lines() -> None:
    text = server_config([(name, name) for name in ODD])
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())
    assert text.endswith("}\n")


def test_the_channel_that_is_meant_without_a_name_has_the_plain_name() -> None:
    assert model_name("ranker", "latest") == "ranker"
    assert model_name("ranker", "canary") == "ranker_canary"


def test_a_path_that_is_not_utf_8_keeps_its_bytes() -> None:
    assert '"/\\377"' in server_config([("ranker", str(Path("/\udcff")))])
