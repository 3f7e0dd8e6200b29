-- Lowest, mean and highest heart rate of each day in UTC.
SELECT day, count(heart_rate) AS readings, min(heart_rate) AS lowest, round(avg(heart_rate), 1) AS mean,
  max(heart_rate) AS highest
FROM care_readings
WHERE heart_rate IS NOT NULL
GROUP BY day
ORDER BY day
