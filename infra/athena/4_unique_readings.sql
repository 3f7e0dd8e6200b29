-- Each reading once. Sealed days are so already; in an open day the latest receipt of a reading is kept. Two rows are the
-- same reading if device, time and record id are; without a record id, if all measured values are, too.
CREATE OR REPLACE VIEW unique_readings AS
SELECT
  r.organisation, r.day, r.subject, r.device_id, r.measured_at, r.offset_minutes, r.received_at, r.record_id,
  r.heart_rate, r.resting_heart_rate, r.hrv_rmssd, r.spo2, r.respiratory_rate, r.temperature, r.skin_temperature,
  r.systolic, r.diastolic, r.steps, r.sleep_minutes, r.glucose, r.weight, r.battery, r.supplemental_oxygen,
  r.presence, r.consciousness, r.dropped, r.consent_sequence
FROM readings r
LEFT JOIN open_days o ON o.organisation = r.organisation AND o.day = r.day
WHERE o.day IS NULL
UNION ALL
SELECT
  organisation, day, subject, device_id, measured_at, offset_minutes, received_at, record_id, heart_rate,
  resting_heart_rate, hrv_rmssd, spo2, respiratory_rate, temperature, skin_temperature, systolic, diastolic, steps,
  sleep_minutes, glucose, weight, battery, supplemental_oxygen, presence, consciousness, dropped, consent_sequence
FROM (
  SELECT
    r.organisation, r.day, r.subject, r.device_id, r.measured_at, r.offset_minutes, r.received_at, r.record_id,
    r.heart_rate, r.resting_heart_rate, r.hrv_rmssd, r.spo2, r.respiratory_rate, r.temperature, r.skin_temperature,
    r.systolic, r.diastolic, r.steps, r.sleep_minutes, r.glucose, r.weight, r.battery, r.supplemental_oxygen,
    r.presence, r.consciousness, r.dropped, r.consent_sequence,
    row_number() OVER (
      PARTITION BY r.organisation, r.day, r.subject, r.device_id, r.measured_at, r.record_id,
        CASE WHEN r.record_id = '' THEN ROW(
          r.heart_rate, r.resting_heart_rate, r.hrv_rmssd, r.spo2, r.respiratory_rate, r.temperature,
          r.skin_temperature, r.systolic, r.diastolic, r.steps, r.sleep_minutes, r.glucose, r.weight, r.battery,
          r.supplemental_oxygen, r.presence, r.consciousness
        ) END
      ORDER BY date_trunc('second', r.received_at) DESC, r.sealed_at NULLS FIRST, r.received_at DESC,
        r.source_offset DESC
    ) AS place
  FROM readings r
  JOIN open_days o ON o.organisation = r.organisation AND o.day = r.day
) numbered
WHERE place = 1
