import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads whole topics by Kafka's own consumer and counts their records by type: one line a topic. */
public final class ReadTopics {
    public static void main(String[] args) throws Exception {
        Subscriber subscriber = new Subscriber(args[1]);
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", args[0], "isolation.level", "read_committed");
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            for (String topic : List.of(args).subList(2, args.length)) {
                List<TopicPartition> places = consumer.partitionsFor(topic).stream()
                        .map(place -> new TopicPartition(topic, place.partition()))
                        .toList();
                consumer.assign(places);
                consumer.seekToBeginning(places);
                Map<TopicPartition, Long> ends = consumer.endOffsets(places);
                Map<String, Integer> counts = new java.util.TreeMap<>();
                long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
                while (ends.keySet().stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                    if (System.nanoTime() > deadline) {
                        throw new IllegalStateException(topic + " was not read in time");
                    }
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                        if (record.value() != null && record.value()[0] == 0) {
                            counts.merge(subscriber.read(record.value()).getSchema().getName(), 1, Integer::sum);
                        }
                    }
                }
                System.out.println(topic + " " + counts);
            }
        }
    }
}
