-- What people expect of readings from devices: one row a reading, blood pressure as a cuff shows it. Care's consent holds.
CREATE OR REPLACE VIEW iot_data AS
SELECT
  device_id,
  measured_at AS "timestamp",
  heart_rate,
  CASE WHEN systolic IS NOT NULL AND diastolic IS NOT NULL
    THEN CAST(CAST(round(systolic) AS integer) AS varchar) || '/' || CAST(CAST(round(diastolic) AS integer) AS varchar)
  END AS blood_pressure,
  temperature
FROM care_readings
