"""The licences that the Hub knows by an identifier."""

import difflib

from dynet.errors import UsageError

_CREATIVE_COMMONS = [
    f"cc-{kind}-{version}"
    for kind in ("by", "by-sa", "by-nc", "by-nd", "by-nc-nd", "by-nc-sa")
    for version in ("2.0", "2.5", "3.0", "4.0")
]
LICENCES = (
    *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0"),
    *("bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "cc0-1.0", "cc", *_CREATIVE_COMMONS),
    *("gpl", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "mpl-2.0", "eupl-1.1", "eupl-1.2"),
    *("afl-3.0", "artistic-2.0", "bsl-1.0", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "isc", "ms-pl", "ncsa"),
    *("odbl", "odc-by", "ofl-1.1", "osl-3.0", "pddl", "postgresql", "unlicense", "wtfpl", "zlib", "other"),
)
"""Of https://huggingface.co/docs/hub/repositories-licenses, without those of single models."""


def check_licence(identifier: str) -> None:
    """Raise UsageError, with the nearest that there are, for what the Hub would not take."""
    if identifier not in LICENCES:
        near = difflib.get_close_matches(identifier.casefold(), LICENCES, n=3, cutoff=0.4)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise UsageError(
            f"--licence {identifier}: no identifier of the Hub's{hint}; `other` stands for one that is not among them"
        )
