"""Which values of a batch of readings are the newest of each person and vital."""

from hypothesis import given
from hypothesis import strategies as st

from portal.pipeline.latest import Latest, latest_of
from tests.analytics.readings import ALICE, BELLA, reading, table

readings = st.builds(
    lambda seconds, subject, device, vitals: reading(seconds, subject, device=device, **vitals),
    st.integers(-90, 90).map(lambda s: s + 0.000001),
    st.sampled_from([ALICE, BELLA]),
    st.sampled_from(["watch", "bed"]),
    st.fixed_dictionaries(
        {},
        optional={
            "heart_rate": st.floats(20, 300),
            "consciousness": st.sampled_from("ACVPU"),
            "presence": st.booleans(),
        },
    ),
)


@given(st.lists(readings, max_size=12, unique_by=lambda row: row["measured_at"]))
def test_it_is_the_last_measured_of_each_person_and_vital(rows):
    expected = {}
    for row in sorted(rows, key=lambda row: row["measured_at"]):
        for vital in ("heart_rate", "consciousness", "presence"):
            if vital in row:
                expected[row["subject"], vital] = Latest(row[vital], row["measured_at"], row["device_id"])
    assert {(subject, vital): latest for subject, vital, latest in latest_of(table(rows))} == expected
