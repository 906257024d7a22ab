"""Attacks on the platform, as tests: docs/reference/attacks.md lists them."""

from attacks_issuer import ForeignForms, ForgedTokens, LedAstray, StolenGrants  # noqa: F401
from attacks_access import BentRoles, ForeignFields, ForeignIdentifiers, MoreThanValues  # noqa: F401
from attacks_network import Bombs, ForgedRequests  # noqa: F401
