"""A single Apache Kafka node: the project's own jars from Maven Central, on Java 17 or newer, without ZooKeeper."""

import contextlib
import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.servers.missing import Missing, free_port, wait_until
from tests.servers.process import run

VERSION = "4.1.0"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>wellrange</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>"""
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


def kafka(folder: Path, stack: contextlib.ExitStack) -> str:
    """Start it; the bootstrap address. Raises Missing."""
    java = shutil.which("java")
    if java is None:
        raise Missing("a real Apache Kafka needs Java 17 (apt-get install openjdk-17-jre-headless)")
    classes = f"{jars()}/*"
    port, controller = free_port(), free_port()
    config, data = folder / "kafka.properties", folder / "kafka"
    config.write_text(PROPERTIES.format(port=port, controller=controller, data=data))
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    tool = [java, "-cp", classes, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config), "--standalone"]
    formatted = subprocess.run(tool, capture_output=True, text=True, check=False)
    if formatted.returncode:
        raise Missing(f"Kafka's storage could not be made: {formatted.stdout[-300:]}{formatted.stderr[-300:]}")
    run(stack, [java, "-Xmx768m", "-cp", classes, "kafka.Kafka", str(config)], folder / "kafka.log")
    address = f"127.0.0.1:{port}"
    wait_until(lambda: _answers(address), "Kafka")
    return address


def jars() -> Path:
    """The folder of Kafka's jars, fetched once per machine."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wellrange" / f"kafka-{VERSION}"
    if home.exists():
        return home
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing("Kafka's jars are fetched with Maven (apt-get install maven)")
    making = home.with_name(f"{home.name}.{os.getpid()}")
    making.mkdir(parents=True)
    (making / "pom.xml").write_text(POM)
    goal = ["dependency:copy-dependencies", "-DoutputDirectory=.", "-DincludeScope=runtime"]
    fetched = subprocess.run([maven, "-q", "-B", *goal], cwd=making, capture_output=True, text=True, check=False)
    if fetched.returncode:
        shutil.rmtree(making)
        raise Missing(f"Kafka's jars could not be fetched: {(fetched.stdout + fetched.stderr)[-300:]}")
    making.rename(home)
    return home


def _answers(address: str) -> bool:
    quiet = {"bootstrap.servers": address, "log_level": 0, "logger": lambda *_: None}
    try:
        return bool(AdminClient(quiet).list_topics(timeout=1).brokers)
    except KafkaException:
        return False
