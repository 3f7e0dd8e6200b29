"""The peer of ingest.py: QuixStreams from a topic to Parquet files. Runs in `.venv-peer`, not in our environment.

Says "ready", begins at a line on its input, and ends when so many messages are in files.
"""

import sys

from quixstreams import Application
from quixstreams.sinks.community.file.formats import ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink

COMMIT_EVERY = 50_000  # messages; one file per partition and commit

bootstrap, topic, folder, count = sys.argv[1:]
application = Application(
    broker_address=bootstrap,
    consumer_group="peer",
    auto_offset_reset="earliest",
    commit_every=COMMIT_EVERY,
    loglevel="ERROR",
)
readings = application.dataframe(application.topic(topic, value_deserializer="json"))
readings.sink(LocalFileSink(directory=folder, format=ParquetFormat()))
print("ready", flush=True)
sys.stdin.readline()
application.run(count=int(count), timeout=60)
