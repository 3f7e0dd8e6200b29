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
# A broker that lives for minutes is not worth optimising: the compiler took more of two cores than all else together.
JAVA_OPTIONS = ("-Xmx768m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
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


class Broker:
    """A node whose data lie in `folder`, made there; it can be stopped and started again. Raises Missing."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._java, self._classes = _java(), f"{jars()}/*"
        port, controller = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        self._config = folder / "kafka.properties"
        self._config.write_text(PROPERTIES.format(port=port, controller=controller, data=folder / "kafka"))
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        named = f"--cluster-id={cluster}"  # in one word: an id may begin with a hyphen
        tool = [self._java, "-cp", self._classes, "kafka.tools.StorageTool", "format", named]
        formatted = subprocess.run(
            [*tool, "-c", str(self._config), "--standalone"], capture_output=True, text=True, check=False
        )
        if formatted.returncode:
            raise Missing(f"Kafka's storage could not be made: {formatted.stdout[-300:]}{formatted.stderr[-300:]}")

    def start(self) -> None:
        command = [self._java, *JAVA_OPTIONS, "-cp", self._classes, "kafka.Kafka", str(self._config)]
        self._process = run(self._stack, command, self._folder / "kafka.log")
        wait_until(lambda: _answers(self.address), "Kafka")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


def kafka(folder: Path, stack: contextlib.ExitStack) -> str:
    """Start it; the bootstrap address. Raises Missing."""
    broker = Broker(folder, stack)
    broker.start()
    return broker.address


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise Missing("a real Apache Kafka needs Java 17 (apt-get install openjdk-17-jre-headless)")
    return java


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
