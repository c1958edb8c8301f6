import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.LocalDate;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Prints live warnings as they come: java -cp ... Subscriber HOST:PORT REGISTRY [TOPIC]
 *
 * <p>REGISTRY is the base of a schema registry's Confluent API. On the class path: kafka-clients,
 * avro, jackson-databind. A group of its own gives each program every warning once; after a restart
 * it goes on where it was.
 */
public final class Subscriber {
    private final HttpClient http = HttpClient.newHttpClient();
    private final ObjectMapper json = new ObjectMapper();
    private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();
    private final String registry;

    public Subscriber(String registry) {
        this.registry = registry;
    }

    public static void main(String[] args) throws Exception {
        String topic = args.length > 2 ? args[2] : "warnings";
        Subscriber subscriber = new Subscriber(args[1]);
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", args[0],
                "group.id", "java-warning-printer",
                // Without it, warnings of failed transactions show too.
                "isolation.level", "read_committed",
                "auto.offset.reset", "earliest");
        try (KafkaConsumer<String, byte[]> consumer = new KafkaConsumer<>(
                settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (true) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    print(subscriber.read(record.value()));
                }
            }
        }
    }

    /** Reads a value: a zero byte, four bytes of schema id, then Avro written by that schema. */
    public GenericRecord read(byte[] value) throws IOException, InterruptedException {
        ByteBuffer head = ByteBuffer.wrap(value);
        if (head.get() != 0) {
            throw new IOException("not in Confluent framing");
        }
        int id = head.getInt();
        GenericDatumReader<GenericRecord> reader = readers.get(id);
        if (reader == null) {
            reader = new GenericDatumReader<>(schema(id));
            readers.put(id, reader);
        }
        return reader.read(
                null, DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null));
    }

    private Schema schema(int id) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id)).build();
        String answer = http.send(request, BodyHandlers.ofString()).body();
        return new Schema.Parser().parse(json.readTree(answer).get("schema").asText());
    }

    private static void print(GenericRecord warning) {
        // What the loading of history found concerns nobody; what is muted, nobody now.
        if (!"LIVE".equals(warning.get("phase").toString()) || warning.get("muted_by") != null) {
            return;
        }
        LocalDate asOf = LocalDate.ofEpochDay((Integer) warning.get("as_of"));
        System.out.println(asOf + " " + warning.get("severity") + " " + warning.get("text_en"));
        System.out.println("  " + warning.get("action_en"));
    }
}
