"""The operations, in the order that keeps the promises."""

from modelrepo.repository.facade import Repository

__all__ = ["Repository"]
