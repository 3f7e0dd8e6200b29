-- Readings of everybody who has consented that they are sent to services that they connect.
CREATE OR REPLACE VIEW sharing_readings AS
SELECT
  r.day, r.subject, r.device_id, r.measured_at, r.offset_minutes, r.heart_rate, r.resting_heart_rate, r.hrv_rmssd,
  r.spo2, r.respiratory_rate, r.temperature, r.skin_temperature, r.systolic, r.diastolic, r.steps, r.sleep_minutes,
  r.glucose, r.weight, r.battery, r.supplemental_oxygen, r.presence, r.consciousness
FROM unique_readings r
JOIN consents c ON c.organisation = r.organisation AND c.subject = r.subject AND c.purpose = 'care' AND c.given
JOIN consents p ON p.organisation = r.organisation AND p.subject = r.subject
  AND p.purpose = 'sharing' AND p.given
