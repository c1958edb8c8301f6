import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The reference job on Flink in this process: exactly once, parallelism 1, state on the heap, a
 * checkpoint a second, events sorted by their time as watermarks allow.
 *
 * <p>RUN SERVERS EVENTS PREFIX ORDER PASSES: order is `time`, or `arrival` for no sorting. The
 * first pass is cold; the others write to topics of their own. A pass ends with the job, whose
 * last checkpoint commits.
 */
public final class FlinkJob {
    private static final int PARTITIONS = 4;
    private static final long CHECKPOINT_MS = 1000;
    private static final Measured MEASURED = new Measured();

    private FlinkJob() {}

    public static final class Reader implements KafkaRecordDeserializationSchema<Job.Event> {
        private transient Job.Decoder decoder;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Job.Event> out) {
            MEASURED.begin();
            if (decoder == null) {
                decoder = new Job.Decoder();
            }
            out.collect(decoder.decode(record.value()));
        }

        @Override
        public TypeInformation<Job.Event> getProducedType() {
            return TypeInformation.of(Job.Event.class);
        }
    }

    /** A warning on its way to the sink. */
    public static final class Warning {
        public String customerId;
        public String json;
    }

    private record Writer(String topic) implements KafkaRecordSerializationSchema<Warning> {
        @Override
        public ProducerRecord<byte[], byte[]> serialize(
                Warning warning, KafkaSinkContext context, Long timestamp) {
            return new ProducerRecord<>(topic, warning.customerId.getBytes(UTF_8),
                    warning.json.getBytes(UTF_8));
        }
    }

    /** Folds in the order of arrival. */
    static class Watch extends KeyedProcessFunction<String, Job.Event, Warning> {
        private transient ValueState<Job.State> states;

        @Override
        public void open(OpenContext context) {
            states = getRuntimeContext().getState(
                    new ValueStateDescriptor<>("states", StateSerializer.INSTANCE));
        }

        @Override
        public void processElement(Job.Event event, Context context, Collector<Warning> out)
                throws Exception {
            fold(event, out);
        }

        void fold(Job.Event event, Collector<Warning> out) throws IOException {
            Job.State state = states.value();
            Job.State folded = state == null ? new Job.State() : state;
            Job.fold(folded, event, (rule, value, instant) -> {
                Warning warning = new Warning();
                warning.customerId = event.customerId;
                warning.json = Job.json(rule, value, instant);
                out.collect(warning);
            });
            states.update(folded);
        }
    }

    /** Holds events back until the watermark has passed them; a customer has one an instant. */
    static final class SortedWatch extends Watch {
        private transient MapState<Long, Job.Event> waiting;

        @Override
        public void open(OpenContext context) {
            super.open(context);
            waiting = getRuntimeContext().getMapState(new MapStateDescriptor<>(
                    "waiting", Types.LONG, TypeInformation.of(Job.Event.class)));
        }

        @Override
        public void processElement(Job.Event event, Context context, Collector<Warning> out)
                throws Exception {
            waiting.put(context.timestamp(), event);
            context.timerService().registerEventTimeTimer(context.timestamp());
        }

        @Override
        public void onTimer(long instant, OnTimerContext context, Collector<Warning> out)
                throws Exception {
            Job.Event event = waiting.get(instant);
            waiting.remove(instant);
            fold(event, out);
        }
    }

    /** The state in the job's own compact form. */
    public static final class StateSerializer extends TypeSerializerSingleton<Job.State> {
        static final StateSerializer INSTANCE = new StateSerializer();

        @Override
        public boolean isImmutableType() {
            return false;
        }

        @Override
        public Job.State createInstance() {
            return new Job.State();
        }

        @Override
        public Job.State copy(Job.State state) {
            return state.copy();
        }

        @Override
        public Job.State copy(Job.State state, Job.State reuse) {
            return state.copy();
        }

        @Override
        public int getLength() {
            return -1;
        }

        @Override
        public void serialize(Job.State state, DataOutputView out) throws IOException {
            byte[] bytes = state.toBytes();
            out.writeInt(bytes.length);
            out.write(bytes);
        }

        @Override
        public Job.State deserialize(DataInputView in) throws IOException {
            byte[] bytes = new byte[in.readInt()];
            in.readFully(bytes);
            return Job.State.fromBytes(bytes);
        }

        @Override
        public Job.State deserialize(Job.State reuse, DataInputView in) throws IOException {
            return deserialize(in);
        }

        @Override
        public void copy(DataInputView in, DataOutputView out) throws IOException {
            serialize(deserialize(in), out);
        }

        @Override
        public TypeSerializerSnapshot<Job.State> snapshotConfiguration() {
            return new Snapshot();
        }

        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Job.State> {
            public Snapshot() {
                super(() -> INSTANCE);
            }
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
                pass(run, given);
                MEASURED.end();
            }
        }
        MEASURED.report(events);
        System.exit(0);
    }

    private static void pass(String run, String[] given) throws Exception {
        boolean sorts = given[4].equals("time");
        Configuration settings = new Configuration();
        settings.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
        settings.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY,
                Path.of("checkpoints-" + run).toAbsolutePath().toUri().toString());
        StreamExecutionEnvironment flink =
                StreamExecutionEnvironment.createLocalEnvironment(1, settings);
        flink.enableCheckpointing(CHECKPOINT_MS, CheckpointingMode.EXACTLY_ONCE);
        flink.getConfig().enableObjectReuse();
        KafkaSource<Job.Event> source = KafkaSource.<Job.Event>builder()
                .setBootstrapServers(given[1])
                .setTopics(Arrays.stream(Job.TOPICS).map(given[3]::concat).toList())
                .setGroupId(run)
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setBounded(OffsetsInitializer.latest())
                .setDeserializer(new Reader())
                .build();
        WatermarkStrategy<Job.Event> watermarks = sorts
                ? WatermarkStrategy.forMonotonousTimestamps()
                : WatermarkStrategy.noWatermarks();
        flink.fromSource(source, watermarks, "sources")
                .keyBy(event -> event.customerId)
                .process(sorts ? new SortedWatch() : new Watch())
                .returns(TypeInformation.of(Warning.class))
                .sinkTo(sink(run, given[1]));
        flink.execute(run);
    }

    private static KafkaSink<Warning> sink(String run, String servers) {
        return KafkaSink.<Warning>builder()
                .setBootstrapServers(servers)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(run)
                .setProperty("transaction.timeout.ms", "60000")
                .setRecordSerializer(new Writer(run + "-warnings"))
                .build();
    }
}
