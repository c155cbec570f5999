package adfeast.streaming;

import java.io.Serializable;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The limits of an event (adfeast.contract.event_rules), written {@code time=column,max_id_bytes=n,...}; a limit that is
 * {@code none} is no limit.
 *
 * @param time column of the event time
 * @param maxIdBytes of an id, in UTF-8
 * @param maxTimeMs times lie before it
 * @param aheadMs how far the event time may lie ahead of the time at which Kafka took the message
 * @param maxAgeMs how far it may lie behind that, or a negative number
 */
record EventRules(String time, int maxIdBytes, long maxTimeMs, long aheadMs, long maxAgeMs) implements Serializable {
    static EventRules parse(String text) {
        Map<String, String> given =
                Arrays.stream(text.split(",")).map(r -> r.split("=", 2)).collect(Collectors.toMap(r -> r[0], r -> r[1]));
        return new EventRules(
                take(given, "time"),
                Integer.parseInt(take(given, "max_id_bytes")),
                Long.parseLong(take(given, "max_time_ms")),
                Long.parseLong(take(given, "ahead_ms")),
                take(given, "max_age_ms").equals("none") ? -1 : Long.parseLong(given.get("max_age_ms")));
    }

    private static String take(Map<String, String> given, String name) {
        if (!given.containsKey(name)) {
            throw new IllegalArgumentException("the rules of events lack " + name + ": " + given);
        }
        return given.get(name);
    }

    /** A time of any column. */
    void checkTime(String column, long millis) throws InvalidEvent {
        if (millis <= 0 || millis >= maxTimeMs) {
            throw new InvalidEvent("time", column + " must be milliseconds since 1970 and before the year 10000, got " + millis);
        }
    }

    /** The time of the event in a message that Kafka took at {@code written}. */
    void checkMoment(long millis, long written) throws InvalidEvent {
        if (millis - written > aheadMs) {
            throw new InvalidEvent(
                    "ahead",
                    time + " " + millis + " lies " + (millis - written) + " ms ahead of the time at which Kafka took it, "
                            + aheadMs + " ms are allowed");
        }
        if (maxAgeMs >= 0 && written - millis > maxAgeMs) {
            throw new InvalidEvent(
                    "age",
                    time + " " + millis + " lies " + (written - millis) + " ms behind the time at which Kafka took it, "
                            + maxAgeMs + " ms are allowed (event_max_age_s)");
        }
    }

    void checkId(int least, byte[] utf8) throws InvalidEvent {
        if (utf8.length < least || utf8.length > maxIdBytes) {
            throw new InvalidEvent("id", "must have " + least + " to " + maxIdBytes + " bytes, got " + utf8.length);
        }
        for (byte each : utf8) {
            if (each == 0) {
                throw new InvalidEvent("id", "must have no zero byte");
            }
        }
    }
}
