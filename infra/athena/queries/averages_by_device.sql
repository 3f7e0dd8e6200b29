-- Means of each device, the busiest first.
SELECT device_id, count(*) AS readings, round(avg(heart_rate), 1) AS mean_heart_rate,
  round(avg(temperature), 2) AS mean_temperature
FROM iot_data
GROUP BY device_id
ORDER BY readings DESC, device_id
LIMIT 20
