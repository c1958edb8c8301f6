import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The reference job on Kafka Streams: one thread, RocksDB, all else as delivered.
 *
 * <p>RUN SERVERS EVENTS PREFIX GUARANTEE PASSES: the warnings of the first pass go to the run's
 * topic, those of the others, which find the JVM warm, to topics of their own. A pass ends when
 * the group has committed all records.
 */
public final class KafkaStreamsJob {
    private static final int PARTITIONS = 4;
    private static final long POLL_MS = 10;
    private static final Measured MEASURED = new Measured();

    private KafkaStreamsJob() {}

    static final class Watch implements Processor<byte[], byte[], String, String> {
        private final Job.Decoder decoder = new Job.Decoder();
        private ProcessorContext<String, String> context;
        private KeyValueStore<String, Job.State> states;

        @Override
        public void init(ProcessorContext<String, String> given) {
            context = given;
            states = given.getStateStore("states");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            MEASURED.begin();
            Job.Event event = decoder.decode(record.value());
            Job.State state = states.get(event.customerId);
            Job.State folded = state == null ? new Job.State() : state;
            Job.fold(folded, event, (rule, value, instant) -> context.forward(
                    new Record<>(event.customerId, Job.json(rule, value, instant),
                            record.timestamp())));
            states.put(event.customerId, folded);
        }
    }

    public static void main(String[] given) throws Exception {
        long events = Long.parseLong(given[2]);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", given[1]))) {
            for (int pass = 0; pass < Integer.parseInt(given[5]); pass++) {
                String run = pass == 0 ? given[0] : given[0] + "-warm-" + pass;
                if (pass > 0) {
                    admin.createTopics(List.of(
                            new NewTopic(run + "-warnings", PARTITIONS, (short) 1))).all().get();
                }
                pass(admin, run, given, events);
            }
        }
        MEASURED.report(events);
        System.exit(0);
    }

    private static void pass(Admin admin, String run, String[] given, long events)
            throws Exception {
        try (KafkaStreams streams =
                new KafkaStreams(topology(run, given[3]), settings(run, given[1], given[4]))) {
            streams.start();
            while (committed(admin, run) < events) {
                Thread.sleep(POLL_MS);
            }
            MEASURED.end();
            streams.close(Duration.ofSeconds(30));
        }
    }

    private static long committed(Admin admin, String run) throws Exception {
        return admin.listConsumerGroupOffsets(run).partitionsToOffsetAndMetadata().get().values()
                .stream().mapToLong(place -> place == null ? 0 : place.offset()).sum();
    }

    private static Properties settings(String run, String servers, String guarantee) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, run);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Path.of("state-" + run).toString());
        // At least once commits every 30 s as delivered; the end would be waited for as long.
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put("auto.offset.reset", "earliest");
        return settings;
    }

    private static Topology topology(String run, String prefix) {
        Serde<Job.State> serde = Serdes.serdeFrom(
                (topic, state) -> state == null ? null : state.toBytes(),
                (topic, bytes) -> bytes == null ? null : Job.State.fromBytes(bytes));
        Topology topology = new Topology();
        topology.addSource("sources", new ByteArrayDeserializer(), new ByteArrayDeserializer(),
                Arrays.stream(Job.TOPICS).map(prefix::concat).toArray(String[]::new));
        topology.addProcessor("watch", Watch::new, "sources");
        topology.addStateStore(Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore("states"), Serdes.String(), serde)
                .withCachingEnabled(), "watch");
        topology.addSink("warnings", run + "-warnings", new StringSerializer(),
                new StringSerializer(), "watch");
        return topology;
    }
}
