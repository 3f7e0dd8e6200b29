-- The record of every measurement: the Delta table that the archiver writes. Athena reads the Delta log itself, so there
-- are no columns to repeat here, no partitions to add and nothing to repair when a new day begins.
CREATE EXTERNAL TABLE IF NOT EXISTS readings
LOCATION '${LAKE_URL}/readings/'
TBLPROPERTIES ('table_type' = 'DELTA')
