-- Readings of an oxygen saturation of 91 % or less, where NEWS2 gives three points (RCP 2017, scale 1).
SELECT subject, device_id, measured_at, spo2
FROM care_readings
WHERE spo2 <= 91
ORDER BY measured_at DESC
LIMIT 100
