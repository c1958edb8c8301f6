import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/** The reference job of job.py for runners on the JVM: decode, fold three rules, warn. */
final class Job {
    static final String[] TOPICS = {"invoices", "payments", "complaints"};
    private static final int INVOICE = 1;
    private static final int PAYMENT = 2;
    private static final long DAY_MS = 86_400_000L;
    private static final String[] RULES = {"overdue", "complaints", "late"};
    private static final long[] THRESHOLDS = {2_000_000, 3, 3};

    private Job() {}

    /** What the fold needs of an event. */
    public static final class Event implements Serializable {
        public int kind;
        public String customerId;
        public String invoiceId;
        public long amount;
        public long due;
        public long instant;
    }

    /** State of one customer; the job's own compact form serves changelogs and checkpoints. */
    public static final class State {
        final Map<String, long[]> open = new HashMap<>();
        final ArrayDeque<Long> complaints = new ArrayDeque<>();
        int late;
        int holding;

        State copy() {
            State copy = new State();
            open.forEach((invoice, item) -> copy.open.put(invoice, item.clone()));
            copy.complaints.addAll(complaints);
            copy.late = late;
            copy.holding = holding;
            return copy;
        }

        byte[] toBytes() {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
            try (DataOutputStream out = new DataOutputStream(bytes)) {
                out.writeInt(open.size());
                for (Map.Entry<String, long[]> item : open.entrySet()) {
                    out.writeUTF(item.getKey());
                    out.writeLong(item.getValue()[0]);
                    out.writeLong(item.getValue()[1]);
                }
                out.writeInt(late);
                out.writeByte(holding);
                out.writeInt(complaints.size());
                for (long complaint : complaints) {
                    out.writeLong(complaint);
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            return bytes.toByteArray();
        }

        static State fromBytes(byte[] bytes) {
            State state = new State();
            try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes))) {
                for (int left = in.readInt(); left > 0; left--) {
                    state.open.put(in.readUTF(), new long[] {in.readLong(), in.readLong()});
                }
                state.late = in.readInt();
                state.holding = in.readByte();
                for (int left = in.readInt(); left > 0; left--) {
                    state.complaints.addLast(in.readLong());
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            return state;
        }
    }

    /** Reads records in Confluent framing with Avro's generic reader; one per thread. */
    public static final class Decoder {
        private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();
        private final Map<Integer, GenericRecord> reused = new HashMap<>();
        private BinaryDecoder decoder;

        Decoder() {
            readers.put(1, reader("Invoice", "invoice_id", "customer_id", "#amount", "currency",
                    "#issued_at", "#due_at"));
            readers.put(2, reader("Payment", "payment_id", "customer_id", "invoice_id", "#amount",
                    "currency", "#paid_at"));
            readers.put(3, reader("Complaint", "complaint_id", "customer_id", "kind",
                    "#opened_at", "text"));
        }

        private static GenericDatumReader<GenericRecord> reader(String name, String... fields) {
            SchemaBuilder.FieldAssembler<Schema> record = SchemaBuilder.record(name).fields();
            for (String field : fields) {
                record = field.startsWith("#")
                        ? record.requiredLong(field.substring(1))
                        : record.requiredString(field);
            }
            return new GenericDatumReader<>(record.endRecord());
        }

        Event decode(byte[] value) {
            Event event = new Event();
            event.kind = ByteBuffer.wrap(value, 1, 4).getInt();
            decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, decoder);
            GenericRecord record;
            try {
                record = readers.get(event.kind).read(reused.get(event.kind), decoder);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            reused.put(event.kind, record);
            event.customerId = record.get("customer_id").toString();
            switch (event.kind) {
                case INVOICE -> {
                    event.invoiceId = record.get("invoice_id").toString();
                    event.amount = (Long) record.get("amount");
                    event.due = (Long) record.get("due_at");
                    event.instant = (Long) record.get("issued_at");
                }
                case PAYMENT -> {
                    event.invoiceId = record.get("invoice_id").toString();
                    event.instant = (Long) record.get("paid_at");
                }
                default -> event.instant = (Long) record.get("opened_at");
            }
            return event;
        }
    }

    /** Takes the warnings of a fold: a rule that begins to hold, its value and instant. */
    interface Warnings {
        void warn(String rule, long value, long instant);
    }

    /** Change the state by one event. */
    static void fold(State state, Event event, Warnings warnings) {
        long now = event.instant;
        switch (event.kind) {
            case INVOICE -> state.open.put(event.invoiceId, new long[] {event.amount, event.due});
            case PAYMENT -> {
                long[] item = state.open.remove(event.invoiceId);
                if (item != null && now > item[1]) {
                    state.late++;
                }
            }
            default -> state.complaints.addLast(now);
        }
        while (!state.complaints.isEmpty() && state.complaints.peekFirst() < now - 30 * DAY_MS) {
            state.complaints.pollFirst();
        }
        long overdue = 0;
        for (long[] item : state.open.values()) {
            if (item[1] < now) {
                overdue += item[0];
            }
        }
        long[] values = {overdue, state.complaints.size(), state.late};
        for (int rule = 0; rule < RULES.length; rule++) {
            boolean holds = values[rule] >= THRESHOLDS[rule];
            boolean held = (state.holding >> rule & 1) == 1;
            if (holds && !held) {
                warnings.warn(RULES[rule], values[rule], now);
            }
            if (holds != held) {
                state.holding ^= 1 << rule;
            }
        }
    }

    /** A warning's value as all runners write it. */
    static String json(String rule, long value, long instant) {
        return "[\"" + rule + "\"," + value + "," + instant + "]";
    }
}
