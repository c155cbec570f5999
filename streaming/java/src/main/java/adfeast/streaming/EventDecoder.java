package adfeast.streaming;

import java.io.Serializable;
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
 * with, the record. Bytes that are not exactly one valid event of a known schema give null instead of an exception,
 * because one bad message must not stop a job; the rules are those of adfeast.contract.events.EventCodec.
 *
 * <p>Columns of the row are written {@code name:type,...} or {@code name:type=default}, a default as its Avro bytes in
 * hex; types are Avro's primitives, {@code timestamp-millis} and {@code array<string>}. Schemas of writers are
 * {@code fingerprint=name:type,...;fingerprint=...}. Writers' columns are found by their names; a column that the row has
 * not is read and left out, one that the writer had not is its default.
 *
 * <p>A time mark (streaming/marks.py) is a zero byte and a big-endian time of eight bytes. It gives a row whose only
 * column is the time.
 */
final class EventDecoder implements Serializable {
    private static final short MARKER = 0x01c3; // C3 01, little-endian
    private static final int HEADER_BYTES = 10;
    private static final int MAX_ID_BYTES = 256;
    private static final long YEAR_10000 = 253402300800000L;
    static final int MARK_BYTES = 9;

    private final Columns columns;
    private final int time;
    private final Writer[] writers;

    EventDecoder(String columns, String writers) {
        this.columns = Columns.parse(columns);
        this.time = List.of(this.columns.types).indexOf("timestamp-millis");
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

    /** The event, or null when the bytes are not one or when it claims a time after {@code latest} (milliseconds). */
    GenericRowData decode(byte[] message, long latest) {
        GenericRowData row = new GenericRowData(columns.names.length);
        if (message.length == MARK_BYTES && message[0] == 0) {
            long at = ByteBuffer.wrap(message).getLong(1);
            row.setField(time, TimestampData.fromEpochMillis(at));
            return at > 0 && at <= latest ? row : null;
        }
        ByteBuffer in = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
        if (message.length < HEADER_BYTES || in.getShort() != MARKER) {
            return null;
        }
        long fingerprint = in.getLong();
        for (Writer writer : writers) {
            if (writer.fingerprint == fingerprint) {
                return fill(row, writer, in, latest) ? row : null;
            }
        }
        return null;
    }

    private boolean fill(GenericRowData row, Writer writer, ByteBuffer in, long latest) {
        Columns written = writer.columns;
        try {
            for (int i = 0; i < written.names.length; i++) {
                Object value = read(in, written.types[i], written.least[i], latest);
                if (writer.target[i] >= 0) {
                    row.setField(writer.target[i], value);
                }
            }
            for (int i : writer.missing) {
                ByteBuffer value = ByteBuffer.wrap(columns.defaults[i]).order(ByteOrder.LITTLE_ENDIAN);
                row.setField(i, read(value, columns.types[i], 0, Long.MAX_VALUE));
            }
        } catch (InvalidEvent | java.nio.BufferUnderflowException | CharacterCodingException bad) {
            return false;
        }
        return !in.hasRemaining();
    }

    private static Object read(ByteBuffer in, String type, int least, long latest)
            throws InvalidEvent, CharacterCodingException {
        switch (type) {
            case "string":
                byte[] text = bytes(in);
                require(least < 0 || (text.length >= least && text.length <= MAX_ID_BYTES));
                return string(text);
            case "int":
                long number = varint(in);
                require(number == (int) number);
                return (int) number;
            case "long":
                return varint(in);
            case "float":
                return in.getFloat();
            case "double":
                return in.getDouble();
            case "boolean":
                byte flag = in.get();
                require(flag == 0 || flag == 1);
                return flag == 1;
            case "bytes":
                return bytes(in);
            case "timestamp-millis":
                long millis = varint(in);
                require(millis > 0 && millis < YEAR_10000 && millis <= latest);
                return TimestampData.fromEpochMillis(millis);
            default: // array<string>
                List<StringData> items = new ArrayList<>();
                for (long count = varint(in); count != 0; count = varint(in)) {
                    if (count < 0) { // Avro: a negative count is followed by the block's size in bytes
                        count = -count;
                        varint(in);
                    }
                    for (long i = 0; i < count; i++) {
                        items.add(string(bytes(in)));
                    }
                }
                return new GenericArrayData(items.toArray());
        }
    }

    private static StringData string(byte[] utf8) throws CharacterCodingException {
        StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8));
        return StringData.fromBytes(utf8);
    }

    private static byte[] bytes(ByteBuffer in) throws InvalidEvent {
        long length = varint(in);
        require(length >= 0 && length <= in.remaining()); // before the allocation: garbage claims gigabytes
        byte[] found = new byte[(int) length];
        in.get(found);
        return found;
    }

    private static long varint(ByteBuffer in) throws InvalidEvent {
        long raw = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            byte next = in.get();
            raw |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return (raw >>> 1) ^ -(raw & 1);
            }
        }
        throw new InvalidEvent();
    }

    private static void require(boolean valid) throws InvalidEvent {
        if (!valid) {
            throw new InvalidEvent();
        }
    }

    private static final class InvalidEvent extends Exception {
        InvalidEvent() {
            super("not an event", null, false, false);
        }
    }
}
