"""What a program can read of a ledger that another one wrote."""

import pytest

from million_ird.errors import LedgerError
from million_ird.ledger import check_version, ledger_schema
from million_ird.measures.registry import MEASURES


def test_a_ledger_of_a_program_with_other_measures_is_told_by_their_names() -> None:
    measures = (*MEASURES, "musiq", "caption:text")
    schema = ledger_schema(measures)
    assert check_version(schema, "here") == measures
    names = {b"million_ird.measures": ",".join((*measures, "noise")).encode()}
    with pytest.raises(LedgerError, match=r"^here: measured by a program that knows noise; run build with this one$"):
        check_version(schema.with_metadata({**schema.metadata, **names}), "here")
