-- Who has consented to what, exported from the ledger within a minute of each change: one row a person and purpose.
CREATE EXTERNAL TABLE IF NOT EXISTS consents
LOCATION '${LAKE_URL}/consents/'
TBLPROPERTIES ('table_type' = 'DELTA')
