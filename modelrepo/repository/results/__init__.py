"""What the operations return: frozen values, the same for Python and for `--json`.

A value is made when it is first asked for: a command uses a few of the many, and each costs the start some time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelrepo.repository.results.asking import (
        Channel,
        HistoryAt,
        HistoryEntry,
        PathResult,
        ServingConfig,
        Status,
        VersionSummary,
    )
    from modelrepo.repository.results.comparing import CompareResult
    from modelrepo.repository.results.details import Conversion, Derived, VersionDetails
    from modelrepo.repository.results.models import Compared, DiffResult, Inspection, Prediction
    from modelrepo.repository.results.problems import Problem
    from modelrepo.repository.results.releasing import AnnotateResult, ChannelRemoval, MoveResult, PinResult
    from modelrepo.repository.results.storing import (
        CleanupResult,
        ExportResult,
        InitResult,
        Kept,
        PushResult,
        RemoveResult,
        VerifyResult,
    )

__all__ = [
    "AnnotateResult",
    "Channel",
    "ChannelRemoval",
    "CleanupResult",
    "CompareResult",
    "Compared",
    "Conversion",
    "Derived",
    "DiffResult",
    "ExportResult",
    "HistoryAt",
    "HistoryEntry",
    "InitResult",
    "Inspection",
    "Kept",
    "MoveResult",
    "PathResult",
    "PinResult",
    "Prediction",
    "Problem",
    "PushResult",
    "RemoveResult",
    "ServingConfig",
    "Status",
    "VerifyResult",
    "VersionDetails",
    "VersionSummary",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name means
    """Import the module that has the value: the small ones, and those of the quickest commands, first."""
    if name in __all__:
        for module in ("releasing", "problems", "asking", "storing", "models", "details", "comparing"):
            values = importlib.import_module(f"{__name__}.{module}")
            if name in vars(values):
                return vars(values)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
