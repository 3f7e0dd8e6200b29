-- The first ten readings of one device. Ask with its id: no other person's files are read.
SELECT * FROM iot_data WHERE device_id = 'device_1' LIMIT 10
