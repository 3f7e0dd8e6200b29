"""The channels of the personal model: what a night is summed up as, which way each goes bad, and what is usual.

`within` and `between` are the spread from night to night and from person to person in the channel's own unit, rounded.
They stand in until an organisation has trained on its own people (`analytics.population`), and are taken from
published wearable data: resting heart rate Quer 2020 (PLoS ONE), breathing rate Miller 2020 (PLoS ONE), heart rate
variability Natarajan 2020 (Lancet Digital Health), skin temperature Smarr 2020 (Sci Rep), home blood pressure Stergiou
2010 (J Hypertens).
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Channel:
    """One number a night. `sign` is the direction that is bad; `log` says that the logarithm is compared.

    `low` and `high` are what a sensor that was worn can report (before the logarithm); outside is not a night.
    """

    name: str
    label: str
    unit: str
    sign: int
    low: float
    high: float
    centre: float
    within: float
    between: float
    log: bool = False


_ROWS = (
    Channel("resting_heart_rate", "Resting heart rate", "/min", 1, 30, 130, 62, 2.3, 8),
    Channel("hrv_rmssd", "Heart rate variability", "ms", -1, 5, 250, 3.6, 0.2, 0.45, log=True),
    Channel("respiratory_rate", "Breathing rate", "/min", 1, 6, 35, 15.2, 0.65, 1.9),
    Channel("spo2", "Oxygen saturation", "%", -1, 80, 100, 96, 0.9, 1.0),
    Channel("skin_temperature", "Skin temperature", "°C", 1, 31, 39, 34, 0.43, 0.6),
    Channel("steps", "Steps", "steps", -1, 300, 100_000, 9.0, 0.5, 0.5, log=True),
    Channel("systolic", "Systolic blood pressure", "mmHg", 1, 60, 260, 125, 7, 13),
    Channel("glucose", "Glucose", "mmol/L", 1, 2, 30, 5.6, 0.6, 0.8),
)
NIGHTLY: MappingProxyType[str, Channel] = MappingProxyType({c.name: c for c in _ROWS})
