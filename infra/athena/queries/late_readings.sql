-- How much came later than half an hour after it was measured: such readings alert nobody.
SELECT day, count(*) AS readings,
  sum(CASE WHEN received_at > measured_at + INTERVAL '30' MINUTE THEN 1 ELSE 0 END) AS late
FROM unique_readings
GROUP BY day
ORDER BY day
