package adfeast.streaming;

import java.io.Serializable;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.IntStream;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.DataType;

/**
 * Strict reader of one flat Avro record in single-object encoding: C3 01, the fingerprint of the schema it was written
 * with, the record. Bytes that are not exactly one valid event of a known schema are refused by the first rule they break,
 * as adfeast.contract.events.EventCodec refuses them; the limits come as {@link EventRules}.
 *
 * <p>Columns of the row are written {@code name:type,...} or {@code name:type=default}, a default as its Avro bytes in
 * hex; types are Avro's primitives, {@code timestamp-millis} and {@code array<string>}. Schemas of writers are
 * {@code fingerprint=name:type,...;fingerprint=...}. Writers' columns are found by their names; a column that the row has
 * not is read and left out, one that the writer had not is its default.
 *
 * <p>A time mark (streaming/marks.py) is a zero byte and a big-endian time of eight bytes. It gives a row whose only
 * column is the time, which is never later than Kafka's: a fast clock moves no time on.
 */
final class EventDecoder implements Serializable {
    private static final short MARKER = 0x01c3; // C3 01, little-endian
    private static final int HEADER_BYTES = 10;
    static final int MARK_BYTES = 9;

    private final Columns columns;
    private final EventRules rules;
    private final int time;
    private final Writer[] writers;

    EventDecoder(String columns, String writers, String rules) {
        this.columns = Columns.parse(columns);
        this.rules = EventRules.parse(rules);
        this.time = List.of(this.columns.names).indexOf(this.rules.time());
        this.writers =
                Arrays.stream(writers.split(";")).map(text -> Writer.parse(text, this.columns)).toArray(Writer[]::new);
    }

    /**
     * Names and types in the order of the bytes.
     *
     * @param defaults as Avro bytes, or null
     * @param least shortest length of an id (one that may be left out is empty when it is), -1 for other columns
     */
    private record Columns(String[] names, String[] types, byte[][] defaults, int[] least) implements Serializable {
        static Columns parse(String text) {
            String[] parts = text.split(",");
            int n = parts.length;
            Columns columns = new Columns(new String[n], new String[n], new byte[n][], new int[n]);
            for (int i = 0; i < n; i++) {
                String[] column = parts[i].split("[:=]", 3);
                columns.names[i] = column[0];
                columns.types[i] = column[1];
                columns.defaults[i] = column.length > 2 ? HexFormat.of().parseHex(column[2]) : null;
                columns.least[i] = !column[0].endsWith("_id") ? -1 : column.length > 2 ? 0 : 1;
            }
            return columns;
        }
    }

    /**
     * A schema that messages are written with.
     *
     * @param fingerprint as a little-endian number, as it is read
     * @param target for each of its columns where in the row it goes, or -1
     * @param missing columns of the row that it has not
     */
    private record Writer(long fingerprint, Columns columns, int[] target, int[] missing) implements Serializable {
        static Writer parse(String text, Columns row) {
            String[] parts = text.split("=", 2);
            long fingerprint = Long.reverseBytes(Long.parseUnsignedLong(parts[0], 16));
            Columns columns = Columns.parse(parts[1]);
            List<String> names = List.of(row.names);
            int[] target = Arrays.stream(columns.names).mapToInt(names::indexOf).toArray();
            for (int i = 0; i < target.length; i++) {
                if (target[i] >= 0 && !row.types[target[i]].equals(columns.types[i])) {
                    throw new IllegalArgumentException("column " + columns.names[i] + " has changed its type");
                }
            }
            List<String> own = List.of(columns.names);
            int[] missing = IntStream.range(0, row.names.length).filter(i -> !own.contains(row.names[i])).toArray();
            for (int i : missing) {
                if (row.defaults[i] == null) {
                    throw new IllegalArgumentException(
                            "column " + row.names[i] + " has no default, but schema " + parts[0] + " has no such column");
                }
            }
            return new Writer(fingerprint, columns, target, missing);
        }
    }

    DataType rowType() {
        List<DataTypes.Field> fields = new ArrayList<>();
        for (int i = 0; i < columns.names.length; i++) {
            fields.add(DataTypes.FIELD(columns.names[i], sqlType(columns.types[i])));
        }
        return DataTypes.ROW(fields.toArray(new DataTypes.Field[0])).nullable();
    }

    private static DataType sqlType(String type) {
        return switch (type) {
            case "string" -> DataTypes.STRING();
            case "int" -> DataTypes.INT();
            case "long" -> DataTypes.BIGINT();
            case "float" -> DataTypes.FLOAT();
            case "double" -> DataTypes.DOUBLE();
            case "boolean" -> DataTypes.BOOLEAN();
            case "bytes" -> DataTypes.BYTES();
            case "timestamp-millis" -> DataTypes.TIMESTAMP_LTZ(3);
            case "array<string>" -> DataTypes.ARRAY(DataTypes.STRING());
            default -> throw new IllegalArgumentException("an event column cannot be of type " + type);
        };
    }

    /**
     * The event in a message.
     *
     * @param written when Kafka took the message, in milliseconds
     */
    GenericRowData decode(byte[] message, long written) throws InvalidEvent {
        GenericRowData row = new GenericRowData(columns.names.length);
        if (message.length == MARK_BYTES && message[0] == 0) {
            long at = ByteBuffer.wrap(message).getLong(1);
            rules.checkTime("a time mark", at);
            row.setField(time, TimestampData.fromEpochMillis(Math.min(at, written)));
            return row;
        }
        ByteBuffer in = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
        if (message.length < HEADER_BYTES || in.getShort() != MARKER) {
            throw new InvalidEvent("frame", message.length + " bytes are no Avro message that names its schema");
        }
        long fingerprint = in.getLong();
        for (Writer writer : writers) {
            if (writer.fingerprint == fingerprint) {
                fill(row, writer, in, written);
                return row;
            }
        }
        throw new InvalidEvent(
                "schema", String.format("schema %016x is none of this topic", Long.reverseBytes(fingerprint)));
    }

    private void fill(GenericRowData row, Writer writer, ByteBuffer in, long written) throws InvalidEvent {
        for (int i = 0; i < writer.columns.names.length; i++) {
            Object value = read(in, writer.columns, i, written);
            if (writer.target[i] >= 0) {
                row.setField(writer.target[i], value);
            }
        }
        if (in.hasRemaining()) {
            throw new InvalidEvent("record", in.remaining() + " bytes follow the event");
        }
        for (int i : writer.missing) {
            ByteBuffer value = ByteBuffer.wrap(columns.defaults[i]).order(ByteOrder.LITTLE_ENDIAN);
            row.setField(i, value(value, columns.types[i]));
        }
    }

    /** A column's value, checked by the rules of the schema it was written with. */
    private Object read(ByteBuffer in, Columns written, int column, long at) throws InvalidEvent {
        String name = written.names[column];
        Object value;
        try {
            if (written.least[column] >= 0 && written.types[column].equals("string")) {
                byte[] id = bytes(in);
                value = string(id);
                rules.checkId(written.least[column], id);
                return value;
            }
            value = value(in, written.types[column]);
        } catch (BufferUnderflowException cut) {
            throw new InvalidEvent("record", "the bytes end within " + name);
        } catch (InvalidEvent bad) {
            throw new InvalidEvent(bad.rule(), name + " " + bad.getMessage());
        }
        if (value instanceof TimestampData when) {
            rules.checkTime(name, when.getMillisecond());
            if (name.equals(rules.time())) {
                rules.checkMoment(when.getMillisecond(), at);
            }
        } else if (value instanceof Float f && !Float.isFinite(f) || value instanceof Double d && !Double.isFinite(d)) {
            throw new InvalidEvent("finite", name + " must be a finite number, got " + value);
        }
        return value;
    }

    private static Object value(ByteBuffer in, String type) throws InvalidEvent {
        switch (type) {
            case "string":
                return string(bytes(in));
            case "int":
                long number = varint(in);
                require(number == (int) number, "range", "must fit int, got ", number);
                return (int) number;
            case "long":
                return varint(in);
            case "float":
                return in.getFloat();
            case "double":
                return in.getDouble();
            case "boolean":
                byte flag = in.get();
                require(flag == 0 || flag == 1, "record", "is no boolean but a byte of ", flag);
                return flag == 1;
            case "bytes":
                return bytes(in);
            case "timestamp-millis":
                return TimestampData.fromEpochMillis(varint(in));
            default: // array<string>
                List<StringData> items = new ArrayList<>();
                for (long count = varint(in); count != 0; count = varint(in)) {
                    if (count < 0) { // Avro: a negative count is followed by the block's size in bytes
                        count = -count;
                        varint(in);
                    }
                    // Every text has a byte at least; the least of all numbers stays negative.
                    require(count > 0 && count <= in.remaining(), "record", "announces too many texts: ", count);
                    for (long i = 0; i < count; i++) {
                        items.add(string(bytes(in)));
                    }
                }
                return new GenericArrayData(items.toArray());
        }
    }

    private static StringData string(byte[] utf8) throws InvalidEvent {
        for (byte each : utf8) {
            if (each < 0) { // not ASCII, which needs no proof
                prove(utf8);
                break;
            }
        }
        return StringData.fromBytes(utf8);
    }

    private static void prove(byte[] utf8) throws InvalidEvent {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8));
        } catch (CharacterCodingException bad) {
            throw new InvalidEvent("text", "is not UTF-8");
        }
    }

    private static byte[] bytes(ByteBuffer in) throws InvalidEvent {
        long length = varint(in);
        // Before the allocation: garbage claims gigabytes.
        require(length >= 0 && length <= in.remaining(), "record", "wants more bytes than are left: ", length);
        byte[] found = new byte[(int) length];
        in.get(found);
        return found;
    }

    private static long varint(ByteBuffer in) throws InvalidEvent {
        long raw = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            byte next = in.get();
            if (shift == 63 && (next & 0xfe) != 0) {
                break;
            }
            raw |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return (raw >>> 1) ^ -(raw & 1);
            }
        }
        throw new InvalidEvent("record", "has a number of more than 64 bits");
    }

    private static void require(boolean valid, String rule, String problem, long got) throws InvalidEvent {
        if (!valid) {
            throw new InvalidEvent(rule, problem + got);
        }
    }
}
