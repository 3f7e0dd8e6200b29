"""THE table of vital kinds. A new vital is one row here; the tests list what else must know it.

Codes are LOINC (https://loinc.org) and UCUM (https://ucum.org). A plausible range says what a working sensor on a
living person can report: outside it the value is a fault and is dropped with its reason. It is not a clinical limit;
those are in `analytics.limits` and in each person's monitoring plan.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Column(StrEnum):
    """How a vital is stored in a column."""

    NUMBER = "number"  # float64, in the unit of the vital
    FLAG = "flag"  # true or false
    CODE = "code"  # one of `codes`


@dataclass(frozen=True, slots=True)
class Vital:
    """One kind of vital sign.

    `expected_s` is the interval in seconds at which a device that measures it is expected to report; a plan may say
    otherwise. `max_age_s` is how long a value may stand in for the present, for a score or on a board.
    """

    name: str
    label: str
    loinc: str
    ucum: str
    unit: str  # as shown to a person
    low: float
    high: float
    decimals: int
    expected_s: int
    max_age_s: int
    column: Column = Column.NUMBER
    codes: tuple[str, ...] = ()


MINUTE, HOUR, DAY = 60, 3600, 86400

# An empty LOINC code says that LOINC has no term for the thing itself (80404-7 is SDNN, not RMSSD).
_ROWS = (
    Vital("heart_rate", "Heart rate", "8867-4", "/min", "/min", 20, 300, 0, MINUTE, 30 * MINUTE),
    Vital("resting_heart_rate", "Resting heart rate", "40443-4", "/min", "/min", 20, 200, 0, DAY, 2 * DAY),
    Vital("hrv_rmssd", "Heart rate variability (RMSSD)", "", "ms", "ms", 1, 400, 0, DAY, 2 * DAY),
    Vital("spo2", "Oxygen saturation", "59408-5", "%", "%", 50, 100, 0, MINUTE, 30 * MINUTE),
    Vital("respiratory_rate", "Respiratory rate", "9279-1", "/min", "/min", 2, 80, 0, MINUTE, 30 * MINUTE),
    Vital("temperature", "Body temperature", "8310-5", "Cel", "°C", 25, 45, 1, 4 * HOUR, 12 * HOUR),
    Vital("skin_temperature", "Skin temperature", "39106-0", "Cel", "°C", 15, 45, 1, 5 * MINUTE, HOUR),
    Vital("systolic", "Systolic blood pressure", "8480-6", "mm[Hg]", "mmHg", 40, 300, 0, 12 * HOUR, 12 * HOUR),
    Vital("diastolic", "Diastolic blood pressure", "8462-4", "mm[Hg]", "mmHg", 20, 200, 0, 12 * HOUR, 12 * HOUR),
    Vital(
        "supplemental_oxygen", "Supplemental oxygen", "3151-8", "1", "", 0, 1, 0, DAY, 2 * DAY, Column.FLAG
    ),  # entered by people
    Vital(
        "consciousness", "Consciousness (ACVPU)", "67775-7", "1", "", 0, 0, 0, DAY, DAY, Column.CODE, tuple("ACVPU")
    ),  # entered by people
    Vital("steps", "Steps", "55423-8", "{steps}", "steps", 0, 200_000, 0, HOUR, 2 * HOUR),
    Vital("sleep_minutes", "Sleep", "93832-4", "min", "min", 0, 1440, 0, DAY, 2 * DAY),
    Vital("glucose", "Glucose", "15074-8", "mmol/L", "mmol/L", 0.5, 60, 1, 6 * HOUR, 6 * HOUR),
    Vital("weight", "Weight", "29463-7", "kg", "kg", 1, 400, 1, DAY, 3 * DAY),
    Vital("presence", "Present at the device", "", "1", "", 0, 1, 0, MINUTE, 10 * MINUTE, Column.FLAG),
    Vital("battery", "Device battery", "", "%", "%", 0, 100, 0, HOUR, DAY),
)

VITALS: MappingProxyType[str, Vital] = MappingProxyType({v.name: v for v in _ROWS})
NUMBERS: tuple[str, ...] = tuple(v.name for v in _ROWS if v.column is Column.NUMBER)
FLAGS: tuple[str, ...] = tuple(v.name for v in _ROWS if v.column is Column.FLAG)
CODES: tuple[str, ...] = tuple(v.name for v in _ROWS if v.column is Column.CODE)

# What says something about the device or the place, not about the person: it stays when a bed is empty.
ABOUT_DEVICE = frozenset({"presence", "battery"})
