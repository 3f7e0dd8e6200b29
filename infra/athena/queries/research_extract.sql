-- A day of readings of those who have consented to research.
SELECT subject, measured_at, heart_rate, spo2, respiratory_rate, temperature, systolic, diastolic, steps
FROM research_readings
WHERE day = DATE '2026-03-01'
ORDER BY subject, measured_at
