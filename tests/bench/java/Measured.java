import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;

/** Time and CPU of the passes of one JVM: the first is cold, the others find it warm. */
final class Measured {
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private final AtomicLong began = new AtomicLong();
    private final List<Double> seconds = new ArrayList<>();
    private long cpuBegan;
    private double cpuSeconds;

    /** Note the first record of a pass. */
    void begin() {
        if (began.get() == 0 && began.compareAndSet(0, System.nanoTime())) {
            cpuBegan = SYSTEM.getProcessCpuTime();
        }
    }

    /** Note the end of a pass. */
    void end() {
        seconds.add((System.nanoTime() - began.get()) / 1e9);
        if (seconds.size() == 1) {
            cpuSeconds = (SYSTEM.getProcessCpuTime() - cpuBegan) / 1e9;
        }
        began.set(0);
    }

    /** Write the line that the benchmark reads. */
    void report(long events) {
        double warm = seconds.stream().skip(1).mapToDouble(events_s -> events / events_s)
                .sorted().skip((seconds.size() - 1) / 2).findFirst().orElse(0);
        System.out.printf(Locale.ROOT,
                "{\"events\": %d, \"events_per_second\": %d, \"warm_events_per_second\": %d, "
                        + "\"cpu_seconds\": %.3f, \"seconds\": %.3f}%n",
                events, Math.round(events / seconds.get(0)), Math.round(warm), cpuSeconds,
                seconds.get(0));
        System.out.flush();
    }
}
