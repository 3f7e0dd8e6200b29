-- Readings of everybody who has consented to care: what the care team may look at.
CREATE OR REPLACE VIEW care_readings AS
SELECT
  r.organisation, r.day, r.subject, r.device_id, r.measured_at, r.offset_minutes, r.received_at, r.record_id,
  r.heart_rate, r.resting_heart_rate, r.hrv_rmssd, r.spo2, r.respiratory_rate, r.temperature, r.skin_temperature,
  r.systolic, r.diastolic, r.steps, r.sleep_minutes, r.glucose, r.weight, r.battery, r.supplemental_oxygen,
  r.presence, r.consciousness, r.dropped, r.consent_sequence
FROM unique_readings r
JOIN consents c ON c.organisation = r.organisation AND c.subject = r.subject AND c.purpose = 'care' AND c.given
