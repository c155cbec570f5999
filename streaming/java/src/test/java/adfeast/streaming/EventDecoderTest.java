package adfeast.streaming;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.TimestampData;
import org.junit.jupiter.api.Test;

/** What is an event is read; what is not is refused by a rule, and by no other exception. */
class EventDecoderTest {
    private static final long TIME = 1_574_500_000_123L;
    private static final String COLUMNS =
            "event_id:string,event_timestamp:timestamp-millis,position:int,tags:array<string>";
    private static final byte[] HEADER = {(byte) 0xc3, 1, 1, 2, 3, 4, 5, 6, 7, 8};
    private static final String ID = "0102030405060708";
    private static final String RULES =
            "time=event_timestamp,max_id_bytes=256,max_time_ms=253402300800000,ahead_ms=60000,max_age_ms=none";
    private static final EventDecoder DECODER = new EventDecoder(COLUMNS, ID + "=" + COLUMNS, RULES);

    private static GenericRowData decode(byte[] message) {
        return decode(DECODER, message);
    }

    /** A message that Kafka took at TIME; null when it is refused. */
    private static GenericRowData decode(EventDecoder decoder, byte[] message) {
        try {
            return decoder.decode(message, TIME);
        } catch (InvalidEvent bad) {
            return null;
        }
    }

    @Test
    void anEventIsReadWhole() {
        GenericRowData row = decode(event("sönderbar", TIME, -3, "a", ""));
        assertEquals("sönderbar", row.getString(0).toString());
        assertEquals(TimestampData.fromEpochMillis(TIME), row.getTimestamp(1, 3));
        assertEquals(-3, row.getInt(2));
        assertEquals(2, row.getArray(3).size());
    }

    /** tests/unit/adfeast/contract/test_events.py encodes the same bytes. */
    @Test
    void aMessageOfThePythonCodecIsReadWhole() {
        String columns =
                "event_id:string,event_timestamp:timestamp-millis,position:int,attempt_id:string=00,share:float,"
                        + "seen:boolean,seal:bytes";
        byte[] message =
                HexFormat.of().parseHex("c30127382ebea2b352a81473c3b66e646572626172f6859bf8d25b05000000003f010400ff");
        GenericRowData row = decode(new EventDecoder(columns, "27382ebea2b352a8=" + columns, RULES), message);
        assertEquals("sönderbar", row.getString(0).toString());
        assertEquals(TimestampData.fromEpochMillis(TIME), row.getTimestamp(1, 3));
        assertEquals(-3, row.getInt(2));
        assertEquals("", row.getString(3).toString());
        assertEquals(0.5f, row.getFloat(4));
        assertEquals(true, row.getBoolean(5));
        assertEquals("00ff", HexFormat.of().formatHex(row.getBinary(6)));
    }

    @Test
    void columnsAreFoundByNameAndNewOnesHaveTheirDefault() {
        EventDecoder newer =
                new EventDecoder(
                        "price:double=000000000000f83f,event_timestamp:timestamp-millis,device:string=0674656c,event_id:string",
                        "ffffffffffffff7f=event_id:string,event_timestamp:timestamp-millis;" + ID + "=" + COLUMNS,
                        RULES);
        GenericRowData row = decode(newer, event("x", TIME, 7, "a"));
        assertEquals(1.5, row.getDouble(0));
        assertEquals(TimestampData.fromEpochMillis(TIME), row.getTimestamp(1, 3));
        assertEquals("tel", row.getString(2).toString());
        assertEquals("x", row.getString(3).toString());
    }

    @Test
    void anIdThatMayBeLeftOutMayBeEmpty() {
        String optional = COLUMNS.replace("event_id:string", "event_id:string=00");
        assertNotNull(decode(new EventDecoder(COLUMNS, ID + "=" + optional, RULES), event("", TIME, 0)));
        assertNull(decode(event("", TIME, 0)));
    }

    @Test
    void anUnknownSchemaIsRefused() {
        byte[] other = event("x", TIME, 7);
        other[9] ^= 1;
        assertNull(decode(other));
        other[9] ^= 1;
        assertNotNull(decode(other));
        other[1] = 2;
        assertNull(decode(other));
    }

    @Test
    void aRowThatNoDefaultCompletesIsRefusedWhenItIsPlanned() {
        String writers = ID + "=" + COLUMNS;
        assertThrows(IllegalArgumentException.class, () -> new EventDecoder(COLUMNS + ",price:double", writers, RULES));
        assertThrows(IllegalArgumentException.class, () -> new EventDecoder("position:long", writers, RULES));
        assertThrows(IllegalArgumentException.class, () -> new EventDecoder(COLUMNS, writers, "time=event_timestamp"));
    }

    @Test
    void aRefusalNamesTheRuleTheColumnAndTheValue() {
        InvalidEvent ahead = assertThrows(InvalidEvent.class, () -> DECODER.decode(event("x", TIME + 61_000, 0), TIME));
        assertEquals("ahead", ahead.rule());
        assertEquals(
                "event_timestamp 1574500061123 lies 61000 ms ahead of the time at which Kafka took it, 60000 ms are allowed",
                ahead.getMessage());
        InvalidEvent id = assertThrows(InvalidEvent.class, () -> DECODER.decode(event("x".repeat(400), TIME, 0), TIME));
        assertEquals("event_id must have 1 to 256 bytes, got 400", id.getMessage());
        InvalidEvent range = assertThrows(InvalidEvent.class, () -> DECODER.decode(event("x", TIME, 1L << 31), TIME));
        assertEquals("position must fit int, got 2147483648", range.getMessage());
    }

    @Test
    void limitsOfIdAndTime() {
        assertNotNull(decode(event("x".repeat(256), TIME, 0)));
        assertNull(decode(event("x".repeat(257), TIME, 0)));
        assertNull(decode(event("", TIME, 0)));
        assertNotNull(decode(event("x", TIME + 60_000, 0)));
        assertNull(decode(event("x", TIME + 60_001, 0)));
        assertNull(decode(event("x", 0, 0)));
        assertNull(decode(event("x", TIME, 1L << 31)));
    }

    @Test
    void aTimeMarkHasATimeAndNothingElse() {
        GenericRowData row = decode(mark(TIME));
        assertEquals(TimestampData.fromEpochMillis(TIME), row.getTimestamp(1, 3));
        assertEquals(1, java.util.stream.IntStream.range(0, row.getArity()).filter(i -> !row.isNullAt(i)).count());
        assertNull(decode(mark(0)));
        assertNull(decode(mark(-1)));
    }

    @Test
    void aTimeMarkOfAFastClockIsNoLaterThanKafka() {
        for (long ahead : new long[] {1, 6_000, 3_600_000}) {
            assertEquals(TimestampData.fromEpochMillis(TIME), decode(mark(TIME + ahead)).getTimestamp(1, 3));
        }
    }

    @Test
    void everyTruncationAndEveryTailIsRefused() {
        byte[] whole = event("some id", TIME, 7, "one", "two");
        for (int length = 0; length < whole.length; length++) {
            assertNull(decode(Arrays.copyOf(whole, length)), "cut to " + length);
        }
        assertNull(decode(Arrays.copyOf(whole, whole.length + 1)));
    }

    @Test
    void noBytesThrow() {
        Random dice = new Random(1);
        for (int i = 0; i < 300_000; i++) {
            byte[] message = dice.nextBoolean() ? new byte[dice.nextInt(40)] : event("id", TIME, 1, "tag");
            if (message.length == 0) {
                continue;
            }
            if (message[0] == 0) {
                dice.nextBytes(message);
                System.arraycopy(HEADER, 0, message, 0, Math.min(HEADER.length, message.length));
            }
            message[dice.nextInt(message.length)] = (byte) dice.nextInt();
            GenericRowData row = decode(message);
            if (row != null && message.length != 9) {
                assertEquals(4, row.getArity());
            }
        }
    }

    private static byte[] mark(long time) {
        return ByteBuffer.allocate(9).put((byte) 0).putLong(time).array();
    }

    private static byte[] event(String id, long time, long position, String... tags) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(HEADER);
        text(out, id);
        varint(out, time);
        varint(out, position);
        if (tags.length > 0) {
            varint(out, tags.length);
            for (String tag : tags) {
                text(out, tag);
            }
        }
        varint(out, 0);
        return out.toByteArray();
    }

    private static void text(ByteArrayOutputStream out, String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        varint(out, utf8.length);
        out.writeBytes(utf8);
    }

    private static void varint(ByteArrayOutputStream out, long number) {
        for (long raw = (number << 1) ^ (number >> 63); ; raw >>>= 7) {
            if ((raw & ~0x7fL) == 0) {
                out.write((int) raw);
                return;
            }
            out.write((int) (raw & 0x7f) | 0x80);
        }
    }
}
