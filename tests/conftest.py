"""What every test shares."""

from hypothesis import HealthCheck, settings

settings.register_profile("wellrange", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wellrange")
