import java.nio.ByteBuffer;
import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/** The workloads as Kafka Streams' DSL writes them. */
final class Topologies {
    static final String REPARTITION = "by-item";

    record Order(String user, String item, double price, int qty) {
        double revenue() {
            return price * qty;
        }
    }

    record Total(String user, double total) {}

    record Running(String key, long count, double revenue) {}

    record Minute(String key, long window_start, long count, double revenue) {}

    /** Count and revenue as state: 16 bytes, so that the store costs as little as it can. */
    record Row(long count, double revenue) {
        static final Serde<Row> SERDE = Serdes.serdeFrom(
            (topic, row) -> row == null ? null
                : ByteBuffer.allocate(16).putLong(row.count).putDouble(row.revenue).array(),
            (topic, bytes) -> {
                if (bytes == null) return null;
                ByteBuffer buffer = ByteBuffer.wrap(bytes);
                return new Row(buffer.getLong(), buffer.getDouble());
            });

        static Row empty() {
            return new Row(0, 0);
        }

        Row plus(double more) {
            return new Row(count + 1, revenue + more);
        }
    }

    private static final Serde<String> TEXT = Serdes.String();

    private Topologies() {}

    static Topology of(String workload, String source, String sink) {
        StreamsBuilder builder = new StreamsBuilder();
        switch (workload) {
            case "identity" -> builder.stream(source, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .to(sink, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
            case "map" -> orders(builder, source)
                .filter((user, order) -> order.price() > 20)
                .mapValues(order -> new Total(order.user(), order.revenue()))
                .to(sink, Produced.with(TEXT, Json.of(Total.class)));
            case "count", "count-epoch" -> updates(
                orders(builder, source)
                    .groupByKey(Grouped.with(TEXT, Json.of(Order.class)))
                    .aggregate(Row::empty, (user, order, row) -> row.plus(order.revenue()), rows()),
                sink);
            // Only the revenue goes through the repartition topic: as little as the work needs.
            case "shuffle", "shuffle-epoch" -> updates(
                orders(builder, source)
                    .map((user, order) -> KeyValue.pair(order.item(), order.revenue()))
                    .groupByKey(Grouped.with(REPARTITION, TEXT, Serdes.Double()))
                    .aggregate(Row::empty, (item, revenue, row) -> row.plus(revenue), rows()),
                sink);
            case "window" -> windows(orders(builder, source), sink);
            default -> throw new IllegalArgumentException("there is no workload " + workload);
        }
        return builder.build();
    }

    private static KStream<String, Order> orders(StreamsBuilder builder, String source) {
        return builder.stream(source, Consumed.with(TEXT, Json.of(Order.class)));
    }

    private static Materialized<String, Row, KeyValueStore<Bytes, byte[]>> rows() {
        return Materialized.<String, Row, KeyValueStore<Bytes, byte[]>>as("rows").withKeySerde(TEXT).withValueSerde(Row.SERDE);
    }

    private static void updates(KTable<String, Row> table, String sink) {
        table.toStream()
            .mapValues((key, row) -> new Running(key, row.count(), row.revenue()))
            .to(sink, Produced.with(TEXT, Json.of(Running.class)));
    }

    /** Final by suppress: the strategy onWindowClose scans every window since 1970 once when its cache is on. */
    private static void windows(KStream<String, Order> orders, String sink) {
        KTable<Windowed<String>, Row> table = orders
            .groupByKey(Grouped.with(TEXT, Json.of(Order.class)))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(1), Duration.ofSeconds(5)))
            .aggregate(Row::empty, (user, order, row) -> row.plus(order.revenue()),
                Materialized.<String, Row, WindowStore<Bytes, byte[]>>as("rows").withKeySerde(TEXT).withValueSerde(Row.SERDE));
        table.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
            .toStream()
            .map((key, row) -> KeyValue.pair(
                key.key(), new Minute(key.key(), key.window().start(), row.count(), row.revenue())))
            .to(sink, Produced.with(TEXT, Json.of(Minute.class)));
    }
}
