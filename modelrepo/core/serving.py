"""TensorFlow Serving's configuration, as text of the protocol buffer `tensorflow.serving.ModelServerConfig`.

The field names are those of tensorflow/serving `tensorflow_serving/config/model_server_config.proto`; a test reads the
text back with the real protocol buffer.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelrepo.core.refs import LATEST


def model_name(name: str, channel: str) -> str:
    """The name under which a channel is served.

    >>> model_name("ranker", "latest"), model_name("ranker", "canary")
    ('ranker', 'ranker_canary')
    """
    return name if channel == LATEST else f"{name}_{channel}"


def server_config(models: Iterable[tuple[str, str]]) -> str:
    """Write one document.

    Args:
        models: Pairs of a model's name and its base path, as the server sees it.

    >>> print(server_config([("ranker", "/models/serving/latest")]), end="")
    model_config_list {
      config {
        name: "ranker"
        base_path: "/models/serving/latest"
        model_platform: "tensorflow"
      }
    }
    """
    lines = ["model_config_list {"]
    for name, base_path in models:
        lines += [
            "  config {",
            f"    name: {_quote(name)}",
            f"    base_path: {_quote(base_path)}",
            '    model_platform: "tensorflow"',
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def _quote(text: str) -> str:
    """A string of protobuf's text format: printable ASCII as it is, every other byte in octal."""
    parts = []
    for byte in text.encode("utf-8", "surrogateescape"):
        character = chr(byte)
        if character in '"\\':
            parts.append(f"\\{character}")
        else:
            parts.append(character if 32 <= byte < 127 else f"\\{byte:03o}")
    return f'"{"".join(parts)}"'
