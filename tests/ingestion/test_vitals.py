"""What every row of the table of vitals must say."""

import pytest

from ingestion.vitals import VITALS, Column, Vital

WITHOUT_LOINC = {"hrv_rmssd", "presence", "battery"}  # LOINC has no term for them


@pytest.mark.parametrize("vital", VITALS.values(), ids=str)
def test_each_vital_is_described_completely(vital: Vital):
    assert vital.label
    assert vital.ucum
    assert bool(vital.loinc) is (vital.name not in WITHOUT_LOINC)
    assert vital.expected_s <= vital.max_age_s
    assert vital.column is Column.CODE or vital.low < vital.high
    assert bool(vital.codes) is (vital.column is Column.CODE)


def test_loinc_codes_carry_their_check_digit():
    # Mod 10 (Luhn) over the digits before the hyphen: LOINC Users' Guide, appendix on check digits.
    for vital in VITALS.values():
        if not vital.loinc:
            continue
        body, check = vital.loinc.split("-")
        doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(body))]
        assert (10 - sum(d // 10 + d % 10 for d in doubled) % 10) % 10 == int(check), vital.name
