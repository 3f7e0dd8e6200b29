-- Minutes with a reading of each person and day, of 1440.
SELECT subject, day, count(DISTINCT date_trunc('minute', measured_at)) AS minutes
FROM care_readings
GROUP BY subject, day
ORDER BY day DESC, minutes
