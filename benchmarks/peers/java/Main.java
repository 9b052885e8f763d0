import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** Runs one workload to the ends that it finds: Main WORKLOAD BROKER SOURCE SINK APPLICATION STATE */
public final class Main {
    private static final long LOOK_EVERY_MS = 200;

    private Main() {}

    public static void main(String[] given) throws Exception {
        String workload = given[0], broker = given[1], source = given[2], sink = given[3], application = given[4];
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, given[5]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        if (workload.equals("count") || workload.equals("shuffle")) { // every update: none is left out by the cache
            settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker));
                KafkaStreams streams = new KafkaStreams(Topologies.of(workload, source, sink), settings)) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            Map<TopicPartition, Long> ends = ends(admin, source, IsolationLevel.READ_UNCOMMITTED);
            streams.start();
            while (!done(admin, application, workload, sink, ends)) {
                if (streams.state() == KafkaStreams.State.ERROR) System.exit(1);
                Thread.sleep(LOOK_EVERY_MS);
            }
            if (!streams.close(Duration.ofSeconds(60))) System.exit(1);
        }
    }

    /** All input is committed; hence what is to be partitioned anew is complete, and has been committed too; and no
     * transaction is open on the output. */
    private static boolean done(
            Admin admin, String application, String workload, String sink, Map<TopicPartition, Long> ends)
            throws Exception {
        if (!reached(admin, application, ends)) return false;
        if (workload.startsWith("shuffle")) {
            String between = application + "-" + Topologies.REPARTITION + "-repartition";
            if (!reached(admin, application, ends(admin, between, IsolationLevel.READ_UNCOMMITTED))) return false;
        }
        return ends(admin, sink, IsolationLevel.READ_UNCOMMITTED)
            .equals(ends(admin, sink, IsolationLevel.READ_COMMITTED));
    }

    private static boolean reached(Admin admin, String application, Map<TopicPartition, Long> ends) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> committed =
            admin.listConsumerGroupOffsets(application).partitionsToOffsetAndMetadata().get();
        return ends.entrySet().stream().allMatch(end -> {
            OffsetAndMetadata at = committed.get(end.getKey());
            return end.getValue() == 0 || (at != null && at.offset() >= end.getValue());
        });
    }

    private static Map<TopicPartition, Long> ends(Admin admin, String topic, IsolationLevel level) throws Exception {
        int partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (int number = 0; number < partitions; number++) {
            wanted.put(new TopicPartition(topic, number), OffsetSpec.latest());
        }
        return admin.listOffsets(wanted, new ListOffsetsOptions(level)).all().get().entrySet().stream()
            .collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().offset()));
    }
}
