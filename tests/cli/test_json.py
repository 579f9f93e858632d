"""With `--json` standard output is exactly one document with at least the promised fields, on failure too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
VERSION = re.compile(r"v[1-9][0-9]*")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def is_version(value: Any) -> bool:
    return isinstance(value, str) and VERSION.fullmatch(value) is not None


def is_time(value: Any) -> bool:
    return isinstance(value, str) and TIME.fullmatch(value) is not None


def is_digest(value: Any) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def or_null(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or test(value)


def is_a(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


def each(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(test, value))


def fields(**tests: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(document: Any) -> bool:
        assert isinstance(document, dict), document
        for name, test in tests.items():
            key = name.rstrip("_")
            assert key in document, key
            assert test(document[key]), (key, document[key])
        return True

    return check


TENSOR = fields(
    name=is_a(str),
    dtype=is_a(str),
    shape=or_null(each(or_null(is_a(int)))),
    optional=is_a(bool),
)
SIGNATURES = lambda value: all(  # noqa: E731 - one of a table of tests
    fields(method_name=is_a(str), inputs=is_a(dict), outputs=is_a(dict))(signature)
    and all(map(TENSOR, [*signature["inputs"].values(), *signature["outputs"].values()]))
    for signature in value.values()
)
CHANGE = fields(
    signature=is_a(str),
    kind=is_a(str),
    key=or_null(is_a(str)),
    from_=or_null(is_a(str)),
    to=or_null(is_a(str)),
    text=is_a(str),
)
MOVE = fields(
    channel=is_a(str), from_=or_null(is_version), to=is_version, changed=is_a(bool), breaking=or_null(each(CHANGE))
)
FILE = fields(path=is_a(str), from_=or_null(is_a(int)), to=or_null(is_a(int)))
ACTOR = fields(user=is_a(str), uid=is_a(int), host=is_a(str), claims=is_a(dict))
PROBLEM = fields(kind=is_a(str), path=is_a(str), detail=is_a(str), repaired=is_a(bool))
FINDING = fields(
    op=or_null(is_a(str)),
    severity=lambda value: value in {"refused", "noted"},
    rule=is_a(str),
    reason=is_a(str),
    node=is_a(str),
    within=is_a(str),
)
MODEL = fields(
    path=is_a(str),
    version=or_null(is_version),
    digest=or_null(is_digest),
    size=is_a(int),
    message=or_null(is_a(str)),
    labels=is_a(dict),
    metrics=is_a(dict),
)
MEASURED = fields(
    loaded_by=is_a(str),
    load_seconds=is_a(float),
    latency=fields(
        calls=is_a(int),
        median=is_a(float),
        p95=is_a(float),
        least=is_a(float),
        most=is_a(float),
        quantiles=each(is_a(float)),
    ),
    memory=fields(peak=is_a(int), before=is_a(int)),
    cage=each(is_a(str)),
)
CHANNELS = lambda value: isinstance(value, dict) and all(map(or_null(is_version), value.values()))  # noqa: E731
STATE = {"channels": each(is_a(str)), "pinned": is_a(bool)}

VERIFIED = fields(ok=is_a(bool), versions=each(is_version), read=each(is_version), findings=each(PROBLEM))
LOADING = {"predict", "compare", "convert"}
DOCUMENTS: dict[tuple[str, ...], Callable[[Any], bool]] = {
    ("init",): fields(repo=is_a(str), created=is_a(bool), adopted=each(is_version), warnings=each(is_a(str))),
    ("init", "--adopt"): fields(repo=is_a(str), created=is_a(bool), adopted=each(is_version), warnings=each(is_a(str))),
    ("push", "exports/four", "--no-load", "--promote"): fields(
        version=is_version,
        created=is_a(bool),
        digest=is_digest,
        size=is_a(int),
        files=is_a(int),
        signatures=SIGNATURES,
        load=lambda value: value == "skipped",
        findings=or_null(each(FINDING)),
        scanned_by=or_null(is_a(str)),
        allowed_ops=each(is_a(str)),
        golden=lambda value: value is None,
        promoted=MOVE,
    ),
    ("list",): each(
        fields(
            version=is_version,
            digest=is_digest,
            size=is_a(int),
            created_at=is_time,
            load=lambda value: value == "skipped",
            labels=is_a(dict),
            metrics=is_a(dict),
            message=or_null(is_a(str)),
            signatures=each(is_a(str)),
            **STATE,
        )
    ),
    ("show", "v1"): fields(
        version=is_version,
        digest=is_digest,
        manifest_digest=is_digest,
        size=is_a(int),
        files=each(fields(path=is_a(str), size=is_a(int), digest=is_digest)),
        created_at=is_time,
        created_by=ACTOR,
        source=is_a(dict),
        message=or_null(is_a(str)),
        labels=is_a(dict),
        metrics=is_a(dict),
        tags=each(each(is_a(str))),
        signatures=SIGNATURES,
        tensorflow_version=or_null(is_a(str)),
        fingerprint=or_null(is_a(dict)),
        load=is_a(str),
        path=is_a(str),
        removed_at=or_null(is_time),
        derived=each(is_a(dict)),
        **STATE,
    ),
    ("inspect", "v1"): fields(
        signatures=SIGNATURES,
        tags=each(each(is_a(str))),
        tensorflow_version=is_a(str),
        ops=is_a(dict),
        findings=each(FINDING),
        scanned_by=is_a(str),
        cage=or_null(each(is_a(str))),
        load=or_null(is_a(str)),
        golden=or_null(is_a(int)),
    ),
    ("diff", "v1", "./exports/two"): fields(
        from_=fields(path=is_a(str), version=is_version),
        to=fields(path=is_a(str), version=lambda value: value is None),
        signatures=fields(breaking=each(CHANGE), compatible=each(CHANGE)),
        files=fields(added=each(FILE), removed=each(FILE), changed=each(FILE)),
        size=fields(from_=is_a(int), to=is_a(int)),
        ops=is_a(dict),
        warnings=each(is_a(str)),
    ),
    ("predict", "v1", "--input", "-"): fields(
        version=is_version, signature=is_a(str), outputs=lambda value: value == {"y": [[4.75]]}
    ),
    ("compare", "v1", "v2", "--input", "-", "--runs", "1"): fields(
        from_=MODEL,
        to=MODEL,
        requests=fields(
            source=is_a(str),
            version=or_null(is_version),
            digest=or_null(is_digest),
            seed=or_null(is_a(int)),
            requests=is_a(int),
            signatures=each(is_a(str)),
        ),
        tolerance=is_a(float),
        agreement=or_null(is_a(float)),
        outputs=each(
            fields(
                signature=is_a(str),
                output=is_a(str),
                dtype=fields(from_=is_a(str), to=is_a(str)),
                rows=is_a(int),
                values=is_a(int),
                largest=or_null(is_a(float)),
                largest_at=or_null(fields(request=is_a(int), index=each(is_a(int)))),
                mean=or_null(is_a(float)),
                changed=or_null(is_a(float)),
                non_finite=fields(from_=is_a(int), to=is_a(int)),
                incomparable=is_a(int),
                top1_changed=or_null(is_a(float)),
                agreement=or_null(is_a(float)),
                accuracy=or_null(fields(from_=or_null(is_a(float)), to=or_null(is_a(float)))),
                differences=each(fields(exponent=or_null(is_a(int)), values=is_a(int))),
                examples=each(is_a(dict)),
                unlike=or_null(is_a(dict)),
            )
        ),
        missing=each(fields(signature=is_a(str), output=is_a(str), missing_in=is_a(str))),
        runs=lambda value: value == 1,
        measured=fields(from_=MEASURED, to=MEASURED),
        html=or_null(is_a(str)),
        warnings=each(is_a(str)),
    ),
    ("convert", "v1", "--to", "tflite", "--output", "y.tflite", "--keep"): fields(
        version=is_version,
        version_digest=is_digest,
        signature=is_a(str),
        loader=lambda value: value in {"session", "objects"},
        to=is_a(str),
        quantize=is_a(str),
        calibration=or_null(is_digest),
        batch_size=or_null(is_a(int)),
        tools=is_a(dict),
        compared=fields(
            source=lambda value: value in {"given", "golden", "generated"},
            requests=is_a(int),
            seed=or_null(is_a(int)),
            tolerance=is_a(float),
            differences=lambda value: all(map(is_a(float), value.values())),
        ),
        files=each(fields(path=is_a(str), size=is_a(int), digest=is_digest)),
        digest=is_digest,
        size=is_a(int),
        created_at=is_time,
        created_by=ACTOR,
        path=or_null(is_a(str)),
        kept=or_null(is_a(str)),
        created=is_a(bool),
        warnings=each(is_a(str)),
    ),
    ("promote", "v3"): MOVE,
    ("promote", "v3", "--dry-run"): MOVE,
    ("rollback",): MOVE,
    ("history",): each(
        fields(
            seq=is_a(int),
            time=is_time,
            actor=ACTOR,
            action=is_a(str),
            channel=or_null(is_a(str)),
            from_=or_null(is_version),
            to=or_null(is_version),
            version=or_null(is_version),
            reason=or_null(is_a(str)),
        )
    ),
    ("status",): fields(
        repo=is_a(str),
        channels=CHANNELS,
        rollback_to=CHANNELS,
        versions=is_a(int),
        size=is_a(int),
        problems=each(PROBLEM),
        journal_head=is_digest,
    ),
    ("path", "latest"): fields(version=is_version, path=is_a(str)),
    ("verify",): VERIFIED,
    ("verify", "--repair", "--quick"): VERIFIED,
    ("verify", "--unchecked-for", "30d"): VERIFIED,
    ("pin", "v1"): fields(version=is_version, pinned=is_a(bool)),
    ("unpin", "v1"): fields(version=is_version, pinned=is_a(bool)),
    ("cleanup", "--keep-last", "0", "--min-age", "0s", "--grace", "0s"): fields(
        removed=each(is_version),
        kept=each(fields(version=is_version, reasons=each(is_a(str)), by=each(is_a(str)))),
        freed=is_a(int),
        dry_run=is_a(bool),
    ),
    ("list", "--removed"): each(fields(version=is_version, removed_at=is_time)),
    ("history", "--at", "2026-11-25"): fields(at=is_time, channels=CHANNELS, moves=each(is_a(dict))),
    ("annotate", "v1", "--label", "stage=live", "--metric", "auc=0.5", "-m", "twelve"): fields(
        version=is_version, labels=is_a(dict), metrics=is_a(dict), message=or_null(is_a(str)), changed=is_a(bool)
    ),
    ("channel", "list"): each(
        fields(
            channel=is_a(str),
            target=or_null(is_version),
            stack=each(is_version),
            rollback_to=or_null(is_version),
            base_path=or_null(is_a(str)),
        )
    ),
    ("channel", "remove", "canary"): fields(channel=is_a(str), removed=is_a(bool), from_=or_null(is_version)),
    ("export", "v1", "copy"): fields(
        version=is_version,
        path=is_a(str),
        files=is_a(int),
        size=is_a(int),
        golden=or_null(is_a(str)),
        warnings=each(is_a(str)),
    ),
    ("push", "exports/four", "--no-load", "--number", "7"): fields(version=lambda value: value == "v7"),
    ("remove", "v3"): fields(removed=each(is_version), freed=is_a(int)),
    ("serving-config",): fields(config=is_a(str)),
    ("serving-config", "--leave-out", "latest"): fields(left_out=each(is_a(str))),
}


@pytest.mark.parametrize(
    ("words", "test"),
    [
        pytest.param(words, test, marks=[pytest.mark.tensorflow] if words[0] in LOADING else [], id=" ".join(words))
        for words, test in DOCUMENTS.items()
    ],
)
def test_every_command_answers_with_the_promised_fields(
    run: Callable[..., Any], root: Path, words: tuple[str, ...], test: Callable[[Any], bool]
) -> None:
    run("--repo", root, "promote", "v1", "--channel", "canary")
    if "--at" in words:
        words = (*words[:-1], Repository(root).history(limit=1)[0].time.isoformat())
    done = run("--repo", root, words[0], *words[1:], "--json", stdin='{"x": [[1, 2, 3]]}')
    hidden = (
        r"modelrepo: warning: (\d+ process(es)? could not be looked at for open files; root sees more"
        r"|TensorFlow has not loaded v\d+.*)\n"
    )
    assert (done.code, re.sub(hidden, "", done.err)) == (0, "")
    assert test(done.json)


def test_the_table_names_every_command(run: Callable[..., Any]) -> None:
    listed = re.findall(r"^  ([a-z][a-z-]*)", run("--help").out.partition("Commands:\n")[2], re.MULTILINE)
    assert set(listed) - {"exec"} == {words[0] for words in DOCUMENTS}


def test_verify_names_its_findings_and_fails_with_the_document(run: Callable[..., Any], root: Path) -> None:
    (root / "v1" / "saved_model.pb").unlink()
    done = run("--repo", root, "verify", "--json")
    assert done.code == 5
    assert DOCUMENTS["verify",](done.json)
    assert done.json["ok"] is False
    assert [finding["kind"] for finding in done.json["findings"]] == ["file-missing"]
    assert done.json["error"]["code"] == 5


ERROR = fields(
    code=is_a(int),
    kind=is_a(str),
    message=is_a(str),
    expected=or_null(is_a(str)),
    got=or_null(is_a(str)),
    hint=or_null(is_a(str)),
)

FAILURES: dict[tuple[str, ...], tuple[int, str]] = {
    (): (2, "usage"),
    ("frobnicate",): (2, "usage"),
    ("promote",): (2, "usage"),
    ("promote", "v1", "v2"): (2, "usage"),
    ("promote", "v1", "--frob"): (2, "usage"),
    ("list", "--limit", "many"): (2, "usage"),
    ("list", "--limit", "-1"): (2, "number-malformed"),
    ("rollback", "--steps", "1", "--to", "v1"): (2, "options-exclude"),
    ("promote", "../x"): (2, "ref-malformed"),
    ("promote", ""): (2, "ref-malformed"),
    ("promote", "v0"): (2, "ref-malformed"),
    ("promote", "v007"): (2, "ref-malformed"),
    ("promote", "LATEST"): (2, "ref-malformed"),
    ("promote", "1" + "0" * 30): (2, "ref-malformed"),
    ("promote", "v1", "--channel", "serving"): (2, "channel-malformed"),
    ("push", "exports/nothing", "--no-load"): (2, "source-missing"),
    ("push", "exports", "--no-load"): (2, "not-a-savedmodel"),
    ("push", "exports/four", "--no-load", "--label", "x"): (2, "pair-malformed"),
    ("push", "exports/four", "--no-load", "--label", "a=1", "--label", "a=2"): (2, "pair-malformed"),
    ("push", "exports/four", "--no-load", "--metric", "a=b"): (2, "metric-malformed"),
    ("push", "exports/four", "--no-load", "--metric", "a=nan"): (2, "metric-malformed"),
    ("push", "exports/four", "--no-load", "--channel", "canary"): (2, "options-need-promote"),
    ("push", "exports/four", "--no-load", "--smoke"): (2, "options-exclude"),
    ("push", "exports/four", "--no-load", "--golden", "nothing.json"): (2, "requests-missing"),
    ("push", "exports/four", "--no-load", "--golden", "exports/four/saved_model.pb"): (2, "requests-malformed"),
    ("predict", "v1"): (2, "usage"),
    ("predict", "v1", "--input", "nothing.json"): (2, "requests-missing"),
    ("predict", "v1", "--input", "exports/four/saved_model.pb"): (2, "requests-malformed"),
    ("predict", "v9", "--input", "-"): (3, "version-missing"),
    ("convert", "v1"): (2, "usage"),
    ("convert", "v1", "--to", "onnx", "--output", "y"): (2, "usage"),
    ("convert", "v1", "--to", "tflite"): (2, "usage"),
    ("convert", "v1", "--to", "tflite", "--keep", "--quantize", "int8"): (2, "options-exclude"),
    ("convert", "v1", "--to", "tfjs", "--keep", "--quantize", "dynamic"): (2, "options-exclude"),
    ("convert", "v1", "--to", "tflite", "--keep", "--tolerance", "-1"): (2, "number-malformed"),
    ("convert", "v1", "--to", "tflite", "--keep", "--input", "nothing.json"): (2, "requests-missing"),
    ("convert", "v1", "--to", "tflite", "--keep", "--input", "exports/four/saved_model.pb"): (2, "requests-malformed"),
    ("convert", "v9", "--to", "tflite", "--keep"): (3, "version-missing"),
    ("convert", "v1", "--to", "tflite", "--keep", "--signature", "nothing"): (3, "signature-missing"),
    ("convert", "v1", "--to", "tflite", "--output", "no/where"): (3, "directory-missing"),
    ("convert", "v1", "--to", "tflite", "--output", "exports"): (4, "not-empty"),
    ("diff", "v1", "v9"): (3, "version-missing"),
    ("compare", "v1"): (2, "usage"),
    ("compare", "v1", "v9"): (3, "version-missing"),
    ("compare", "v1", "./exports"): (2, "not-a-savedmodel"),
    ("compare", "v1", "v2", "--runs", "many"): (2, "usage"),
    ("compare", "v1", "v2", "--seed", "-1"): (2, "number-malformed"),
    ("convert", "v1", "--to", "tflite", "--keep", "--batch-size", "0"): (2, "usage"),
    ("compare", "v1", "v2", "--require-agreement", "1.5"): (2, "number-malformed"),
    ("compare", "v1", "v2", "--require-agreement", "nan"): (2, "number-malformed"),
    ("compare", "v1", "v2", "--input", "nothing.json"): (2, "requests-missing"),
    ("compare", "v1", "v2", "--input", "-", "--generate", "1"): (2, "options-exclude"),
    ("compare", "v1", "v2", "--labels", "nothing.json"): (2, "labels-missing"),
    ("compare", "v1", "v2", "--signature", "nothing"): (3, "signature-missing"),
    ("compare", "v1", "v2", "--html", "exports"): (4, "file-taken"),
    ("compare", "v1", "v2", "--html", "no/where.html"): (3, "directory-missing"),
    ("compare", "v1", "v2", "--html", "ranker/page.html"): (4, "inside-repository"),
    ("diff", "v1", "./exports"): (2, "not-a-savedmodel"),
    ("cleanup", "--min-age", "1 day"): (2, "duration-malformed"),
    ("annotate", "v1"): (2, "annotation-empty"),
    ("annotate", "v1", "--metric", "a=inf"): (2, "metric-malformed"),
    ("annotate", "v1", "--label", "a b=c"): (2, "key-malformed"),
    ("history", "--at", "yesterday"): (2, "time-malformed"),
    ("history", "--at", "2999-01-01"): (2, "time-future"),
    ("history", "--at", "2026-01-01", "--limit", "1"): (2, "options-exclude"),
    ("history", "--at", "2001-01-01"): (3, "time-before-history"),
    ("remove", "v9"): (3, "version-missing"),
    ("remove", "v1", "v2"): (4, "version-needed"),
    ("channel", "remove", "blue"): (3, "channel-missing"),
    ("channel", "remove", "latest"): (4, "channel-needed"),
    ("channel", "frob"): (2, "usage"),
    ("push", "exports/four", "--no-load", "--number", "0"): (2, "number-malformed"),
    ("push", "exports/four", "--no-load", "--number", "3"): (4, "number-spent"),
    ("export", "v1", "exports"): (4, "not-empty"),
    ("export", "v1", "no/where"): (3, "directory-missing"),
    ("path", "v9"): (3, "version-missing"),
    ("history", "--channel", "blue"): (3, "channel-missing"),
    ("rollback", "--steps", "2"): (4, "nothing-to-roll-back-to"),
    ("rollback", "--to", "v3"): (4, "not-on-the-stack"),
}


@pytest.mark.parametrize("words", FAILURES, ids=lambda words: " ".join(words)[:40] or "nothing")
def test_every_failure_is_one_document_too(run: Callable[..., Any], root: Path, words: tuple[str, ...]) -> None:
    done = run("--json", "--repo", root, *words)
    code, kind = FAILURES[words]
    assert ERROR(done.json["error"])
    assert (done.code, done.json["error"]["code"], done.json["error"]["kind"]) == (code, code, kind)
    assert done.json["error"]["message"].split("\n")[0] in done.err


def test_warnings_do_not_reach_standard_output(run: Callable[..., Any], root: Path) -> None:
    done = run("--repo", root, "push", "exports/one", "--no-load", "-m", "again", "--json")
    assert done.json["created"] is False
    assert "warning" in done.err
    assert "message" in done.err


def test_the_document_is_ascii_whatever_the_text(run: Callable[..., Any], root: Path) -> None:
    done = run("--repo", root, "pin", "v1", "--reason", "très bien ✓", "--json", env={"LC_ALL": "C"})
    assert done.code == 0
    done = run("--repo", root, "history", "--json", "--limit", 1, env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert done.out.isascii()
    assert done.json[0]["reason"] == "très bien ✓"


@pytest.mark.parametrize("command", ["status", "verify", "cleanup"])
def test_a_foreign_name_that_is_no_utf8_is_in_the_document(run: Callable[..., Any], root: Path, command: str) -> None:
    import os

    Path(os.fsdecode(os.fsencode(root) + b"/odd-\xff")).touch()
    done = run("--repo", root, command, "--json")
    assert done.code == 0, done.err
    key = "findings" if command == "verify" else "problems"
    assert ["odd-" in problem["path"] for problem in done.json[key]] == [True]


def test_dashes_dashes_end_the_options(run: Callable[..., Any], root: Path) -> None:
    done = run("--repo", root, "path", "--", "--json")
    assert done.code == 2
    assert done.out == ""


def test_the_refused_promote_of_a_push_still_says_what_was_stored(
    run: Callable[..., Any], tmp_path: Path, samples: Path
) -> None:
    words = ("--repo", tmp_path / "r", "push", "--no-load", "--promote", "--json")
    assert run(*words, "--init", samples / "classifier_v1").code == 0
    done = run(*words, samples / "renamed_input")
    assert done.code == 4
    assert (done.json["version"], done.json["created"], done.json["promoted"]) == ("v2", True, None)
    assert done.json["error"]["kind"] == "breaking"
    assert json.loads(run("--repo", tmp_path / "r", "path", "latest", "--json").out)["version"] == "v1"


@pytest.mark.parametrize(
    "words",
    [("push", "exec", "--json"), ("push", "-m", "exec", "--bogus", "--json"), ("-r", "exec", "status", "--json")],
)
def test_the_word_exec_elsewhere_hides_no_json(run: Callable[..., Any], words: tuple[str, ...]) -> None:
    assert run(*words).json["error"]["code"] in {2, 10}
