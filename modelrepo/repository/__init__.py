"""The operations, in the order that keeps the promises."""

from modelrepo.repository.facade import Repository, serving_config

__all__ = ["Repository", "serving_config"]
