-- Days that hold rows which have not been sealed yet: in these alone a reading may lie twice.
CREATE OR REPLACE VIEW open_days AS
SELECT DISTINCT organisation, day
FROM readings
WHERE sealed_at IS NULL
