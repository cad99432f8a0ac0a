"""How many addresses one page may name: a page of 5 MB can otherwise ask for gigabytes of joined addresses."""

from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit

from million_ird.sources.web.addresses import MAX_URL_LENGTH

MAX_JOINED_CHARACTERS = 50_000_000
"""Characters of base and address, summed over all addresses that are joined for one page or sitemap."""


class BudgetExceeded(ValueError):
    """The page names more than is read of any page."""


@dataclass(slots=True)
class JoinBudget:
    """Joins the addresses of one page, up to a total length."""

    characters: int = MAX_JOINED_CHARACTERS

    def join(self, base: str, address: str) -> str | None:
        """Return the absolute web address without its fragment; None if it is no web address, or too long for one.

        Raises:
            BudgetExceeded: the addresses that were joined until now are too long together.
        """
        address = address.strip()
        if not address or len(address) > MAX_URL_LENGTH:
            return None
        self.characters -= len(base) + len(address)  # before joining, whose time and memory depend on both
        if self.characters < 0:
            raise BudgetExceeded("names more addresses than are read of one page")
        try:
            joined = urldefrag(urljoin(base, address)).url
            parts = urlsplit(joined)
            is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            return None
        return joined if is_web and len(joined) <= MAX_URL_LENGTH else None
